"""Files as photographers have them: every kind is read right, or named with the remedy."""

from __future__ import annotations

import io
import logging
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from PIL import Image, PngImagePlugin, features

from headsup_core.errors import InputError
from headsup_core.image_files import pictures_in, read_picture


def noise(*shape: int, bits: int = 8, seed: int = 0) -> np.ndarray:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, shape).astype(kind)


def tiff(values: np.ndarray, order: str, photometric: int, *, deflate: bool = False, form: int = 1) -> bytes:
    """`[H,W]` or `[H,W,C]` as one strip."""
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    strip = values.astype(values.dtype.newbyteorder("<" if order == "II" else ">")).tobytes()
    strip = zlib.compress(strip) if deflate else strip
    bits, extra = 8 * values.dtype.itemsize, b""
    end = "<" if order == "II" else ">"
    after = 8 + 2 + 12 * 10 + 4
    if channels > 2:  # two fit into the entry itself
        extra = struct.pack(f"{end}{channels}H", *[bits] * channels)
    place = after + len(extra)

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        short = kind == 3 and count <= 2
        packed = struct.pack(f"{end}HH", value, value * (count - 1)) if short else struct.pack(f"{end}I", value)
        return struct.pack(f"{end}HHI", tag, kind, count) + packed

    entries = [
        entry(256, 4, 1, width), entry(257, 4, 1, height), entry(258, 3, channels, after if channels > 2 else bits),
        entry(259, 3, 1, 8 if deflate else 1), entry(262, 3, 1, photometric), entry(273, 4, 1, place),
        entry(277, 3, 1, channels), entry(278, 4, 1, height), entry(279, 4, 1, len(strip)), entry(339, 3, 1, form),
    ]  # fmt: skip
    if channels == 2:
        entries[-1] = entry(338, 3, 1, 2)
    head = order.encode() + struct.pack(f"{end}HI", 42, 8) + struct.pack(f"{end}H", 10)
    return head + b"".join(entries) + bytes(4) + extra + strip


def without_values(data: bytes) -> bytes:
    """A little-endian TIFF whose number of channels has no value."""
    return data.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 277, 3, 0))


def chunk(name: bytes, body: bytes, *, crc: bool = True) -> bytes:
    check = zlib.crc32(name + body) if crc else 0
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def png(values: np.ndarray, color_type: int, depth: int, *more: bytes) -> bytes:
    """Unfiltered, with further chunks between header and pixels; values of 16 bits become big-endian."""
    height, width = values.shape[:2]
    rows = values.astype(">u2") if depth == 16 else values
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- depth and sense --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", ["II", "MM"])
def test_grey_tiff_of_both_orders_senses_and_depths(
    tmp_path: Path, order: str, photometric: int, bits: int, deflate: bool
) -> None:
    values = noise(11, 13, bits=bits)
    held = values if photometric == 1 else 2**bits - 1 - values
    data = tiff(held.astype(values.dtype), order, photometric, deflate=deflate)
    picture = read_picture(save(tmp_path / "a.tif", data))
    expected = torch.from_numpy(values.astype(np.float32) / (2**bits - 1)).expand(1, 3, -1, -1)
    torch.testing.assert_close(picture.rgb, expected, atol=1e-6, rtol=0)
    assert picture.bits == bits


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_tiff_keeps_its_16_bits(tmp_path: Path, order: str, channels: int) -> None:
    values = noise(9, 14, channels, bits=16)
    if channels == 4:
        values[..., 3] |= 0x8000
    data = tiff(values, order, 2)
    picture = read_picture(save(tmp_path / "a.tif", data))
    exact = torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    torch.testing.assert_close(picture.rgb, exact[:, :3], atol=1e-6, rtol=0)
    if picture.alpha is not None:
        torch.testing.assert_close(picture.alpha, exact[:, 3:], atol=1e-6, rtol=0)
    assert picture.bits == 16


@pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_colour_png_keeps_its_16_bits(tmp_path: Path, color_type: int, channels: int) -> None:
    values = noise(9, 14, channels, bits=16)
    if channels != 3:
        values[..., -1] |= 0x8000
    picture = read_picture(save(tmp_path / "a.png", png(values, color_type, 16)))
    exact = torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    colour = exact[:, :3] if channels > 2 else exact[:, :1].expand(1, 3, -1, -1)
    torch.testing.assert_close(picture.rgb, colour, atol=1e-6, rtol=0)
    assert picture.bits == 16
    if channels != 3:
        assert picture.alpha is not None
        torch.testing.assert_close(picture.alpha, exact[:, -1:], atol=1e-6, rtol=0)


def test_without_opencv_16_bits_are_read_as_8_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", png(noise(9, 14, 3, bits=16), 2, 16))
    exact = read_picture(path).rgb
    monkeypatch.setitem(sys.modules, "cv2", None)
    coarse = read_picture(path)
    assert 0 < (coarse.rgb - exact).abs().max() <= 1.01 / 255
    assert coarse.bits == 8
    assert "OpenCV" in coarse.notes[0]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_16_bit_colour_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    values = noise(4, 6, 3, bits=16)
    stored = {1: values, 3: values[::-1, ::-1], 6: np.rot90(values)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png(stored, 2, 16, chunk(b"eXIf", exif.tobytes()[6:]))
    rgb = read_picture(save(tmp_path / "a.png", data)).rgb
    torch.testing.assert_close(rgb, torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1)[None])


def test_one_transparent_colour_of_every_depth(tmp_path: Path) -> None:
    grey = np.array([[43981, 43980, 7, 43981]], np.uint16)
    colour = np.array([[[1, 2, 3], [1, 2, 259], [258, 2, 3], [1, 2, 3]]], np.uint16)
    four = np.array([[0x3A, 0x3F]], np.uint8)  # pixels 3, 10, 3, 15
    cases = {
        "grey16": (png(grey, 0, 16, chunk(b"tRNS", struct.pack(">H", 43981))), [0, 1, 1, 0]),
        "rgb16": (png(colour, 2, 16, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))), [0, 1, 1, 0]),
        "rgb8": (png(colour.astype(np.uint8), 2, 8, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))), [0, 0, 1, 0]),
        "grey4": (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0))
            + chunk(b"tRNS", struct.pack(">H", 3)) + chunk(b"IDAT", zlib.compress(b"\0" + four.tobytes()))
            + chunk(b"IEND", b""), [0, 1, 0, 1],
        ),
    }  # fmt: skip
    for name, (data, expected) in cases.items():
        alpha = read_picture(save(tmp_path / f"{name}.png", data)).alpha
        assert alpha is not None, name
        assert alpha.flatten().tolist() == expected, name


# --- what is said about a picture is not the picture ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * (3 << 20))),
        b"".join(chunk(b"tEXt", b"key%d\0" % number + b"y" * (1 << 20)) for number in range(70)),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"z" * (2 << 20))),
        chunk(b"iCCP", b"huge\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"tEXt", b"key\0value", crc=False),
        chunk(b"zTXt", b"key\0\0not zlib"),
        chunk(b"iTXt", b"key"),
        chunk(b"eXIf", b"II*\0 and nonsense"),
        chunk(b"pHYs", b"short"),
    ],
    ids=["packed text", "70 MB of text", "packed itxt", "profile", "check sum", "damaged", "cut", "exif", "phys"],
)
def test_text_profiles_and_exif_cost_no_png(tmp_path: Path, extra: bytes) -> None:
    values = noise(8, 9, 3)
    expected = torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None]
    assert torch.equal(read_picture(save(tmp_path / "a.png", png(values, 2, 8, extra))).rgb, expected)


# --- kinds ------------------------------------------------------------------------------------------------------------


def test_every_suffix_of_a_folder_is_taken_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headsup_core.image_files.listing.suffixes_read", _suffixes_without_heic)
    image = Image.fromarray(noise(16, 16, 3))
    kinds = {"a.jpg": "JPEG", "b.jfif": "JPEG", "c.jpe": "JPEG", "d.GIF": "GIF", "e.mpo": "MPO", "f.webp": "WEBP",
             "g.JPEG": "JPEG", "h.tif": "TIFF", "i.bmp": "BMP"}  # fmt: skip
    if features.check("avif"):
        kinds["j.avif"] = "AVIF"
    for name, kind in kinds.items():
        image.save(tmp_path / name, kind)
    for name in ("k.HEIC", "l.NEF", "m.pdf", "n.photo"):
        (tmp_path / name).write_bytes(b"x" * 40)
    for name in (".hidden.nef", "a.txt", "a.json"):  # beside pictures, and no pictures
        (tmp_path / name).write_bytes(b"x")
    caplog.set_level(logging.WARNING)
    found = pictures_in(tmp_path)
    assert [path.name for path in found] == sorted(kinds)
    for path in found:
        assert read_picture(path).rgb.shape == (1, 3, 16, 16)
    said = caplog.text
    assert "4 files" in said
    assert all(word in said for word in ("k.HEIC", "pillow-heif", "l.NEF", "raw", "m.pdf", "n.photo"))
    assert "a.txt" not in said


def _suffixes_without_heic() -> tuple[str, ...]:
    from headsup_core.image_files import PICTURE_SUFFIXES

    return PICTURE_SUFFIXES


def test_a_folder_without_readable_pictures_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.cr2").write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        pictures_in(tmp_path)
    assert "a.cr2" in str(caught.value)
    assert "raw" in str(caught.value)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.HEIC", HEIC, ("HEIC", "pillow-heif")),
        ("renamed.jpg", HEIC, ("HEIC", "pillow-heif")),
        ("float.tif", tiff(noise(4, 4, 3).astype(np.float32), "II", 2, form=3), ("3 channels", "32-bit floats", "RGB")),
        ("empty.tif", without_values(tiff(noise(4, 4, 3).astype(np.float32), "II", 2, form=3)), ("32-bit floats",)),
        ("double.tif", tiff(noise(4, 4).astype(np.float64), "MM", 1, form=3), ("1 channel", "64-bit floats", "grey")),
        ("two.tif", tiff(noise(4, 4, 2, bits=16), "II", 1), ("2 channels", "16-bit", "grey")),
        ("lab16.tif", tiff(noise(4, 4, 3, bits=16), "II", 8), ("3 channels", "16-bit", "Lab")),
        ("a.nef", tiff(noise(4, 4), "II", 1), ("raw",)),
        ("a.jxl", b"\xff\x0a" + bytes(30), ("JPEG XL", "PNG")),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ("EPS", "PNG")),
        ("a.pdf", b"%PDF-1.7\n", ("PDF",)),
        ("a.svg", b"<?xml version='1.0'?><svg/>", ("SVG",)),
        ("saved.jpg", b"<!DOCTYPE html><html>", ("web page",)),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", ("video",)),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\n", ("Git LFS",)),
    ],
)
def test_what_is_not_read_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("headsup_core.image_files.file_kinds.heic_is_there", lambda: False)
    with pytest.raises(InputError) as caught:
        read_picture(save(tmp_path / name, data))
    for word in (name, *words):
        assert word in str(caught.value)


def test_heic_is_read_when_pillow_heif_is_there(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", exc_type=ImportError)
    image = Image.fromarray(np.full((64, 48, 3), (200, 120, 40), np.uint8))
    heif.from_pillow(image).save(tmp_path / "a.heic", quality=95)
    (tmp_path / "cut.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:60])
    picture = read_picture(tmp_path / "a.heic")
    assert picture.rgb.shape == (1, 3, 64, 48)
    assert (picture.rgb.mean((0, 2, 3)) * 255 - torch.tensor([200, 120, 40])).abs().max() < 3
    with raises_naming(InputError, "HEIC"):
        read_picture(tmp_path / "cut.heic")


def test_lab_tiff_is_converted(tmp_path: Path) -> None:
    # L* 54.3, a* 80.8, b* 69.9 is sRGB's red at D50; 8 bits: L* 255/100, a* and b* with sign
    lab = np.broadcast_to(np.array([138, 81, 70], np.uint8), (4, 5, 3))
    rgb = read_picture(save(tmp_path / "lab.tif", tiff(lab, "II", 8))).rgb
    assert (rgb - torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)).abs().max() < 6 / 255


def test_frames_are_counted(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    kinds = ["gif", "webp", "png", "tif", *(["avif"] if features.check("avif") else [])]
    for kind in kinds:
        frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:])
        assert read_picture(tmp_path / f"a.{kind}").frames == 3, kind


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with raises_naming(InputError, "pipe"):
        read_picture(tmp_path / "pipe.png")


def test_no_decoder_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "EPS")
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *given, **_more: started.append(given))
    with raises_naming(InputError, "EPS"):
        read_picture(save(tmp_path / "drawing.png", buffer.getvalue()))
    assert started == []


def test_pillows_limits_are_left_alone(tmp_path: Path) -> None:
    before = (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)
    read_picture(save(tmp_path / "a.png", png(noise(4, 4, 3), 2, 8)))
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)
