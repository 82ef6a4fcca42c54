"""What is carried over to a result: depth, colour space, EXIF, XMP and IPTC; other readers than our own check it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from PIL import Image, ImageCms, IptcImagePlugin, features

from headsup_core.errors import InputError
from headsup_core.image_files import Manner, picture_text, read_picture, write_picture

SUFFIXES = ["png", "jpg", "webp", "tif", *(["avif"] if features.check("avif") else [])]
# Primaries at D50 of Display P3 and of Adobe RGB (1998).
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def profile(primaries: tuple[tuple[float, float, float], ...], gamma: float | None = None) -> bytes:
    """sRGB's profile with other primaries and, if given, a plain gamma."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", icc, 128)
    for index in range(count):
        name, offset, _size = struct.unpack_from(">4sII", icc, 132 + 12 * index)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            values = primaries[(b"rXYZ", b"gXYZ", b"bXYZ").index(name)]
            struct.pack_into(">3i", icc, offset + 8, *(round(value * 65536) for value in values))
        if gamma is not None and name in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">4sIHHi", icc, offset, b"para", 0, 0, 0, round(gamma * 65536))
    return bytes(icc)


SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
PROFILES = {"p3": profile(P3), "adobe": profile(ADOBE, 563 / 256), "srgb": profile(SRGB)}


def colours(seed: int = 0) -> np.ndarray:
    """Smooth colours, the corners of the cube among them."""
    values = np.random.default_rng(seed).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    values[0, :8] = [[255 * (number >> channel & 1) for channel in range(3)] for number in range(8)]
    return values


def lab_of(values: np.ndarray, icc: bytes) -> np.ndarray:
    """By LittleCMS, as numbers that differ by 1 where the colours do by about 1 of CIE76."""
    target = ImageCms.createProfile("LAB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    lab = ImageCms.profileToProfile(Image.fromarray(values), source, target, outputMode="LAB")
    assert lab is not None
    found = np.asarray(lab).astype(np.int16)
    signed = found[..., 1:].astype(np.uint8).astype(np.int8)
    return np.concatenate((found[..., :1] * (100 / 255), signed), 2)


# --- colour spaces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p3", "adobe"])
def test_wide_gamuts_are_read_as_littlecms_does(tmp_path: Path, name: str) -> None:
    values = (colours() // 2 + 64).astype(np.uint8)  # sRGB holds them
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=PROFILES[name])
    source = ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[name]))
    srgb = ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(Image.fromarray(values), source, srgb, outputMode="RGB")
    difference = read_picture(tmp_path / "a.png").rgb[0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(expected))
    assert difference.abs().max() <= 1.2
    assert difference.abs().max() > 0.1 or name == "srgb"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["p3", "adobe"])
def test_wide_gamuts_look_the_same_afterwards(tmp_path: Path, name: str, suffix: str) -> None:
    values = np.repeat(np.repeat(colours()[:8, :8], 16, 0), 16, 1)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=PROFILES[name])
    picture = read_picture(tmp_path / "a.png")
    assert picture.rgb.min() >= 0
    assert picture.rgb.max() <= 1
    manner = Manner(quality=100, metadata=picture.metadata, gamut=picture.gamut)
    write_picture(tmp_path / f"b.{suffix}", picture.rgb, manner=manner)
    with Image.open(tmp_path / f"b.{suffix}") as result:
        icc, written = result.info["icc_profile"], np.asarray(result.convert("RGB"))
    assert icc == PROFILES[name]
    far = np.abs(lab_of(written, icc) - lab_of(values, PROFILES[name]))
    # where one colour is; the formats with loss blur the borders
    inside = far.reshape(8, 16, 8, 16, 3)[:, 5:11, :, 5:11]
    assert np.percentile(inside, 99) <= (1.5 if suffix in ("png", "tif") else 4)


def test_what_srgb_cannot_hold_is_enlarged_with_the_picture(tmp_path: Path) -> None:
    values = np.full((6, 6, 3), (255, 0, 0), np.uint8)  # P3's red
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=PROFILES["p3"])
    picture = read_picture(tmp_path / "a.png")
    large = torch.nn.functional.interpolate(picture.rgb, scale_factor=4)
    write_picture(tmp_path / "b.png", large, manner=Manner(gamut=picture.gamut))
    with Image.open(tmp_path / "b.png") as result:
        assert np.abs(np.asarray(result).astype(int) - (255, 0, 0)).max() <= 1
    write_picture(tmp_path / "c.png", large)  # without: sRGB's red, and no profile
    with Image.open(tmp_path / "c.png") as result:
        assert "icc_profile" not in result.info


def test_a_profile_that_says_srgb_changes_and_carries_nothing(tmp_path: Path) -> None:
    values = colours()
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=PROFILES["srgb"])
    picture = read_picture(tmp_path / "a.png")
    assert torch.equal(picture.rgb, torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None])
    assert picture.gamut is None


def grey_profile() -> bytes:
    """A profile of grey in linear light."""
    white = bytes.fromhex("0000f6d6000100000000d32d")
    tags = {b"kTRC": b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", 256), b"wtpt": b"XYZ \0\0\0\0" + white}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\2\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = white
    icc = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(icc)) + icc[4:]


def test_grey_profiles_keep_grey_grey(tmp_path: Path) -> None:
    icc = grey_profile()
    values = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=icc)
    rgb = read_picture(tmp_path / "a.png").rgb
    assert torch.equal(rgb[:, 0], rgb[:, 1])
    assert torch.equal(rgb[:, 0], rgb[:, 2])
    # linear light 0.2140 is 0.5 in sRGB (IEC 61966-2-1)
    assert rgb[0, 0, 0, round(0.2140 * 255)].item() == pytest.approx(0.5, abs=0.006)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_profiles_count_beside_transparency_at_every_depth(tmp_path: Path, bits: int) -> None:
    kind = np.dtype(">u2") if bits == 16 else np.dtype("u1")
    most = 2**bits - 1
    values = np.array([[[round(0.2140 * most), most], [0, most // 2]]]).astype(kind)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, 4, 0, 0, 0)),
        (b"iCCP", b"grey\0\0" + zlib.compress(grey_profile())),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    assert picture.rgb[0, :, 0, 0].tolist() == pytest.approx([0.5] * 3, abs=0.006)
    assert picture.alpha is not None
    assert picture.alpha[0, 0, 0].tolist() == pytest.approx([1, 0.5], abs=0.01)
    assert picture.bits == bits


# --- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
def test_16_bits_are_written_as_others_read_them(tmp_path: Path, suffix: str, alpha: bool) -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(1).integers(0, 65536, (70, 33, 4)).astype(np.uint16)
    values[..., 3] |= 0x8000
    tensor = torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    path = tmp_path / f"a.{suffix}"
    write_picture(path, tensor[:, :3], tensor[:, 3:] if alpha else None, manner=Manner(bits=16, text={"key": "value"}))
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, *([3] if alpha else [])]]
    np.testing.assert_array_equal(found, values[..., : 4 if alpha else 3])
    with Image.open(path) as image:
        image.load()
        assert image.size == (33, 70)
    again = read_picture(path)
    assert again.bits == 16
    assert torch.equal(again.rgb, tensor[:, :3])
    assert picture_text(path, "key") == "value"


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in ("png", "tif")])
def test_formats_of_8_bits_refuse_16(tmp_path: Path, suffix: str) -> None:
    with raises_naming(InputError, 8):
        write_picture(tmp_path / f"a.{suffix}", torch.zeros(1, 3, 4, 4), manner=Manner(bits=16))
    assert list(tmp_path.iterdir()) == []


# --- what is said about the photo -------------------------------------------------------------------------------------

XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:exif='http://ns.adobe.com/exif/1.0/' "
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" exif:GPSLatitude="48,8N" tiff:Make="Leica">'
    b"<exif:GPSLongitude>11,34E</exif:GPSLongitude><dc:creator>Ada</dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x50\0\x03Ada" + b"\x1c\x02\x78\0\x05A day"  # by-line, caption


def photo(path: Path) -> Path:
    """A JPEG as a camera and an editor leave it."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x013B], exif[0x8298] = "Leica", 6, "Ada", "(c) Ada"
    exif[0x0100], exif[0x0101] = 40, 30
    exif[0x8769] = {0x829A: 0.004, 0x9003: "2024:05:06 07:08:09", 0xA002: 40, 0xA003: 30, 0x927C: b"maker" * 9,
                    0x9286: b"ASCII\0\0\0a comment"}  # fmt: skip
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    body = b"Photoshop 3.0\x008BIM" + struct.pack(">HHI", 0x0404, 0, len(IPTC)) + IPTC + b"\0" * (len(IPTC) % 2)
    segments = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    packet = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    segments += b"\xff\xe1" + struct.pack(">H", len(packet) + 2) + packet
    Image.fromarray(colours()).save(path, exif=exif, extra=segments)
    return path


@pytest.mark.parametrize("place", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_is_carried_over_and_corrected(tmp_path: Path, suffix: str, place: bool) -> None:
    picture = read_picture(photo(tmp_path / "a.jpg"))
    assert picture.rgb.shape == (1, 3, 30, 40)  # turned
    metadata = picture.metadata if place else picture.metadata.without_place()
    path = tmp_path / f"b.{suffix}"
    manner = Manner(metadata=metadata, text={"headsup": '{"a": "\\u00fc"}'})
    write_picture(path, torch.rand(1, 3, 60, 80), manner=manner)
    with Image.open(path) as image:
        image.load()
        exif, info = image.getexif(), dict(image.info)
        iptc = IptcImagePlugin.getiptcinfo(image) if suffix in ("jpg", "tif") else None
    inner = exif.get_ifd(0x8769)
    assert (exif[0x010F], exif[0x013B], exif[0x8298]) == ("Leica", "Ada", "(c) Ada")
    assert exif.get(0x0112, 1) == 1
    assert inner[0x9003] == "2024:05:06 07:08:09"
    assert float(inner[0x829A]) == pytest.approx(0.004)
    assert (inner[0xA002], inner[0xA003]) == (80, 60)
    assert 0x927C not in inner
    assert not exif.get_ifd(1)  # no thumbnail
    assert bool(exif.get_ifd(0x8825)) == place
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else packet
    assert b"<dc:creator>Ada</dc:creator>" in packet
    assert b'tiff:Make="Leica"' in packet
    assert b"Orientation" not in packet
    assert (b"GPSLatitude" in packet, b"GPSLongitude" in packet) == (place, place)
    if iptc is not None:
        assert iptc[2, 80] == b"Ada"
    again = read_picture(path)
    if suffix in ("png", "jpg", "tif"):
        assert again.metadata.iptc == IPTC
    assert again.rgb.shape == (1, 3, 60, 80)
    assert picture_text(path, "headsup") == '{"a": "\\u00fc"}'


def test_a_place_is_left_out_by_whatever_prefix_it_is_told(tmp_path: Path) -> None:
    packet = XMP.replace(b"exif", b"ns1").replace(
        b"<dc:creator>", b"<drone-dji:GpsLatitude>48.13</drone-dji:GpsLatitude><dc:creator>"
    )
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    extra = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    Image.fromarray(colours()).save(tmp_path / "a.jpg", extra=extra)
    metadata = read_picture(tmp_path / "a.jpg").metadata
    assert b"48,8N" in metadata.xmp
    kept = metadata.without_place().xmp
    assert b"Ada" in kept
    for told in (b"48,8N", b"11,34E", b"48.13"):
        assert told not in kept


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_metadata_nothing_is_said(tmp_path: Path, suffix: str) -> None:
    read_picture(photo(tmp_path / "a.jpg"))
    path = tmp_path / f"b.{suffix}"
    write_picture(path, torch.rand(1, 3, 60, 80))
    data = path.read_bytes()
    assert b"Leica" not in data
    assert b"Ada" not in data
    assert picture_text(path, "headsup") is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_record_of_a_file_that_is_cut_short_is_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_picture(path, torch.rand(1, 3, 60, 80), manner=Manner(text={"headsup": "x"}))
    assert picture_text(path, "headsup") == "x"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert picture_text(path, "headsup") is None


def test_a_file_is_not_replaced_when_that_is_not_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_picture(tmp_path / "a.png", torch.zeros(1, 3, 4, 4), replace=False)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    write_picture(tmp_path / "b.png", torch.zeros(1, 3, 4, 4), replace=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
def test_damaged_metadata_costs_no_picture(tmp_path: Path) -> None:
    data = photo(tmp_path / "a.jpg").read_bytes()
    rng = np.random.default_rng(0)
    start = data.index(b"Exif\0\0")
    expected = read_picture(tmp_path / "a.jpg").rgb
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(start + 14, start + 300, 6):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / "b.jpg").write_bytes(bytes(damaged))
        picture = read_picture(tmp_path / "b.jpg")
        assert picture.rgb.shape in (expected.shape, (1, 3, 40, 30))
        write_picture(tmp_path / "c.jpg", picture.rgb, manner=Manner(metadata=picture.metadata.without_place()))
