"""Reading and writing picture files made on the spot: every mode, every kind of damage, nothing half-written."""

from __future__ import annotations

import io
import os
import resource
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from PIL import Image, ImageCms, ImageFile

from headsup_core.errors import InputError
from headsup_core.image_files import Manner, check_image, read_picture, write_picture


def pixels(height: int = 9, width: int = 14, channels: int = 3) -> np.ndarray:
    """Noise; where it is transparent, it is not so much that its colours count as hidden."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    if channels in (2, 4):
        values[..., -1] = np.maximum(values[..., -1], 8)
    return values if channels > 1 else values[..., 0]


def tensor_of(values: np.ndarray) -> torch.Tensor:
    values = values[..., None] if values.ndim == 2 else values
    return torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None]


# --- modes -------------------------------------------------------------------------------------------------------


def test_rgb_and_rgba(tmp_path: Path) -> None:
    values = pixels(channels=4)
    Image.fromarray(values[..., :3]).save(tmp_path / "rgb.png")
    Image.fromarray(values).save(tmp_path / "rgba.png")
    plain, clear = read_picture(tmp_path / "rgb.png"), read_picture(str(tmp_path / "rgba.png"))
    assert plain.alpha is None
    assert plain.rgb.dtype == torch.float32
    assert torch.equal(plain.rgb, tensor_of(values[..., :3]))
    assert torch.equal(clear.rgb, plain.rgb)
    assert clear.alpha is not None
    assert torch.equal(clear.alpha, tensor_of(values[..., 3]))


def test_grey_with_and_without_alpha(tmp_path: Path) -> None:
    values = pixels(channels=2)
    Image.fromarray(values[..., 0]).save(tmp_path / "l.png")
    Image.fromarray(values, "LA").save(tmp_path / "la.png")
    grey, clear = read_picture(tmp_path / "l.png"), read_picture(tmp_path / "la.png")
    expected = tensor_of(values[..., 0])
    assert torch.equal(grey.rgb, expected.expand(1, 3, -1, -1))
    assert grey.alpha is None
    assert torch.equal(clear.rgb, grey.rgb)
    assert clear.alpha is not None
    assert torch.equal(clear.alpha, tensor_of(values[..., 1]))


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 128, 255])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png")
    image.save(tmp_path / "pt.png", transparency=1)
    plain, clear = read_picture(tmp_path / "p.png"), read_picture(tmp_path / "pt.png")
    expected = tensor_of(np.array([[[255, 0, 0], [0, 128, 255]]], np.uint8))
    assert torch.equal(plain.rgb, expected)
    assert plain.alpha is None
    assert torch.equal(clear.rgb[..., :1], expected[..., :1])
    assert torch.equal(clear.rgb[..., 1:], expected[..., :1])  # below full transparency: the neighbour's colour
    assert clear.alpha is not None
    assert clear.alpha.flatten().tolist() == [1, 0]


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    values = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    Image.fromarray(values).save(tmp_path / "t.png", transparency=(9, 9, 9))
    picture = read_picture(tmp_path / "t.png")
    assert torch.equal(picture.rgb, tensor_of(values)[..., :1].expand(1, 3, 1, 2))
    assert picture.alpha is not None
    assert picture.alpha.flatten().tolist() == [1, 0]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 32768, 65535, 1000]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"grey.{suffix}")
    rgb = read_picture(tmp_path / f"grey.{suffix}").rgb
    assert rgb.shape == (1, 3, 1, 5)
    for channel in rgb[0]:
        np.testing.assert_allclose(channel.numpy(), values / 65535, atol=1e-7)


def test_one_bit_cmyk_and_float(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False, True]])).save(tmp_path / "bit.png")
    assert read_picture(tmp_path / "bit.png").rgb[0, 2, 0].tolist() == [1, 0, 1]

    Image.new("CMYK", (3, 2), (0, 255, 0, 0)).save(tmp_path / "cmyk.tif")
    assert read_picture(tmp_path / "cmyk.tif").rgb[0, :, 1, 2].tolist() == [1, 0, 1]

    Image.fromarray(np.array([[0, 0.25, 1]], np.float32)).save(tmp_path / "float.tif")
    assert read_picture(tmp_path / "float.tif").rgb[0, 1, 0].tolist() == [0, 0.25, 1]
    Image.fromarray(np.array([[0, 255]], np.float32)).save(tmp_path / "wide.tif")
    with raises_naming(InputError, "wide.tif", 0, 255):
        read_picture(tmp_path / "wide.tif")


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    for name in ("a.webp", "a.gif", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert read_picture(tmp_path / name).rgb[0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = pixels(3, 5)
    turns = {  # how a camera stores the upright picture, for each value of the tag
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turns[orientation])).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(read_picture(tmp_path / "turned.png").rgb, tensor_of(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    values = pixels()
    Image.fromarray(values).save(tmp_path / "e.png", exif=b"Exif\0\0II*\0garbage and more of it")
    assert torch.equal(read_picture(tmp_path / "e.png").rgb, tensor_of(values))


# --- colour profiles ---------------------------------------------------------------------------------------------


def swapped_profile() -> bytes:
    """An RGB profile that differs from sRGB beyond doubt: sRGB with its red and blue primaries exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")


def test_embedded_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    values = pixels(channels=4)
    values[..., :3] = values[..., :3] // 2 + 60
    for name, mode_values in (("rgb.png", values[..., :3]), ("rgba.png", values)):
        Image.fromarray(np.ascontiguousarray(mode_values)).save(tmp_path / name, icc_profile=swapped_profile())
        picture = read_picture(tmp_path / name)
        expected = tensor_of(values[..., 2::-1])
        assert (picture.rgb - expected).abs().max() <= 2.1 / 255
        if name == "rgba.png":
            assert picture.alpha is not None
            assert torch.equal(picture.alpha, tensor_of(values[..., 3]))


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    values = pixels(64, 64)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(values).save(tmp_path / "s.png", icc_profile=profile)
    assert torch.equal(read_picture(tmp_path / "s.png").rgb, tensor_of(values))


@pytest.mark.parametrize("kind", ["garbage", "of other channels"])
def test_profile_that_cannot_be_used_is_ignored(tmp_path: Path, kind: str) -> None:
    values = pixels(channels=1)
    profile = b"not a profile" * 20 if kind == "garbage" else swapped_profile()
    Image.fromarray(values).save(tmp_path / "g.png", icc_profile=profile)
    assert torch.equal(read_picture(tmp_path / "g.png").rgb, tensor_of(values).expand(1, 3, -1, -1))


# --- files that cannot be read -----------------------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(60, 80)).save(buffer, kind)
    return buffer.getvalue()


def test_unreadable_files_are_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture at all")
    (tmp_path / "notes.jpg").write_bytes(encoded("JPEG")[:3])
    for name, *named in (
        ("missing.png", "missing.png", "No such file"),
        ("empty.png", "empty.png", 0),
        ("text.png", "text.png"),
        ("notes.jpg", "notes.jpg"),
        ("bad\0name.png",),
        ("text.png/below.png", "below.png", "Not a directory"),
    ):
        with raises_naming(InputError, *named):
            read_picture(tmp_path / name)
    with raises_naming(InputError, tmp_path):
        read_picture(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_short(tmp_path: Path, kind: str, share: float) -> None:
    data = encoded(kind)
    path = tmp_path / "cut.bin"
    path.write_bytes(data[: int(len(data) * share)])
    with raises_naming(InputError, "cut.bin"):
        read_picture(path)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_random_damage_gives_a_picture_or_an_input_error(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(1)
    data = np.frombuffer(encoded(kind), np.uint8)
    refused = unnamed = 0
    for _ in range(60):
        damaged = data.copy()
        where = rng.integers(0, min(len(data), 400), 4)  # headers are where parsers stumble
        damaged[where] = rng.integers(0, 256, 4)
        path = tmp_path / "damaged.bin"
        path.write_bytes(damaged.tobytes())
        try:
            check_image(read_picture(path).rgb)
        except InputError as error:
            refused += str(path) in str(error)
            unnamed += str(path) not in str(error)
    assert refused > 0
    assert unnamed == 0


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 60000, 50000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b""))
    with raises_naming(InputError, "bomb.png", 3000000000, 178956970):
        read_picture(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as some programs set it
    with raises_naming(InputError, "bomb.png", "60000x50000", 3000000000, 178956970):
        read_picture(path)


# --- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "b.PNG"])
def test_png_round_trip_is_exact(tmp_path: Path, name: str) -> None:
    values = pixels(channels=4)
    write_picture(tmp_path / name, tensor_of(values[..., :3]), tensor_of(values[..., 3]))
    picture = read_picture(tmp_path / name)
    assert torch.equal(picture.rgb, tensor_of(values[..., :3]))
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, tensor_of(values[..., 3]))
    assert os.listdir(tmp_path) == [name]


def test_values_are_rounded_and_clamped(tmp_path: Path) -> None:
    levels = torch.tensor([0.4, 0.6, 254.4, 254.6, -5, 300]) / 255
    write_picture(tmp_path / "r.png", levels.expand(1, 3, 1, 6))
    assert np.asarray(Image.open(tmp_path / "r.png"))[0, :, 1].tolist() == [0, 1, 254, 255, 0, 255]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_formats(tmp_path: Path, suffix: str) -> None:
    smooth = torch.linspace(0, 1, 64).expand(1, 3, 40, 64) * torch.tensor([1, 0.5, 0.2]).reshape(1, 3, 1, 1)
    sizes = []
    for quality in (95, 30):
        path = tmp_path / f"q{quality}.{suffix}"
        write_picture(path, smooth, manner=Manner(quality))
        sizes.append(path.stat().st_size)
        with Image.open(path) as image:
            assert image.format == ("WEBP" if suffix == "webp" else "JPEG")
    assert sizes[1] < sizes[0]
    assert (read_picture(tmp_path / f"q95.{suffix}").rgb - smooth).abs().mean() < 0.01


def test_alpha_is_kept_by_webp_and_laid_over_white_by_jpeg(tmp_path: Path) -> None:
    rgb = torch.zeros(1, 3, 32, 32)
    alpha = torch.full((1, 1, 32, 32), 0.25)
    write_picture(tmp_path / "a.webp", rgb, alpha)
    write_picture(tmp_path / "a.jpg", rgb, alpha)
    kept = read_picture(tmp_path / "a.webp").alpha
    assert kept is not None
    assert (kept - 0.25).abs().max() <= 0.5 / 255 + 1e-6
    flat = read_picture(tmp_path / "a.jpg")
    assert flat.alpha is None
    assert (flat.rgb - 0.75).abs().max() <= 2 / 255


def test_new_files_have_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_picture(tmp_path / "a.png", torch.zeros(1, 3, 2, 2))
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    rgb = torch.zeros(1, 3, 4, 4)
    (tmp_path / "file").touch()
    (tmp_path / "taken.png").mkdir()
    for folder, name in ((tmp_path / "missing", "a.png"), (tmp_path / "file", "a.png"), (tmp_path, "taken.png")):
        with raises_naming(InputError, name, folder):
            write_picture(folder / name, rgb)
    assert sorted(os.listdir(tmp_path)) == ["file", "taken.png"]


def test_a_refused_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")  # the file is open elsewhere (Windows), or may not be replaced

    monkeypatch.setattr(os, "replace", refused)
    with raises_naming(InputError, "a.png", "Permission denied"):
        write_picture(tmp_path / "a.png", torch.zeros(1, 3, 4, 4))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    noise = torch.rand(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # writing more than that fails, as on a full disk
    try:
        with raises_naming(InputError, f"a.{suffix}"):
            write_picture(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


def test_an_interrupt_while_saving_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_picture(tmp_path / "a.png", torch.zeros(1, 3, 4, 4))
    assert os.listdir(tmp_path) == []


def test_wrong_use_of_write_is_refused(tmp_path: Path) -> None:
    rgb = torch.zeros(1, 3, 4, 4)
    for name, *named in (("a.xyz", ".xyz", ".png", ".jpg"), ("a", ".png", ".jpg")):
        with raises_naming(InputError, *named):
            write_picture(tmp_path / name, rgb)
    with raises_naming(InputError, "quality", 0, 1, 100):
        write_picture(tmp_path / "a.jpg", rgb, manner=Manner(quality=0))
    with raises_naming(InputError, 2):
        write_picture(tmp_path / "a.png", rgb.expand(2, 3, 4, 4))
    with raises_naming(InputError, "(1, 1, 4, 5)", "(1, 1, 4, 4)"):
        write_picture(tmp_path / "a.png", rgb, torch.ones(1, 1, 4, 5))
    with raises_naming(InputError, "20000x1", "WEBP", 16383, ".png"):
        write_picture(tmp_path / "a.webp", torch.zeros(1, 3, 1, 20000))
    assert os.listdir(tmp_path) == []


# --- tensors -----------------------------------------------------------------------------------------------------


def test_check_image_accepts_pictures() -> None:
    for image in (torch.rand(1, 3, 1, 1), torch.rand(3, 3, 7, 300).half(), torch.full((1, 3, 2, 2), 7.0)):
        check_image(image)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (torch.zeros(3, 4, 4), ("torch.float32 (3, 4, 4)", "[B,3,H,W]")),
        (torch.zeros(1, 4, 4, 3), ("(1, 4, 4, 3)", "[B,3,H,W]")),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), ("torch.uint8",)),
        (torch.zeros(1, 3, 0, 4), ("(1, 3, 0, 4)",)),
        (torch.zeros(0, 3, 4, 4), ("(0, 3, 4, 4)",)),
    ],
)
def test_check_image_refuses_other_tensors(image: torch.Tensor, named: tuple[str, ...]) -> None:
    with raises_naming(InputError, *named):
        check_image(image)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_check_image_counts_bad_values_and_names_the_picture(value: float) -> None:
    image = torch.zeros(3, 3, 5, 5)
    image[1, 0, 2, 2:5] = value
    with raises_naming(InputError, 1, 3, 75, "NaN"):
        check_image(image)
