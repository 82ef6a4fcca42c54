"""Grey stays grey, a tint keeps its hue, and colour is left alone."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from headsup_core.imaging.tints.chroma import Toning, luma_of, toning_of

SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def portrait(side: int = 128) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((side, side), Image.Resampling.BICUBIC))


def grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


Tint = Callable[[np.ndarray], np.ndarray]
"""From colours `[H,W,3]` in 0..255 to others, not rounded."""


def sepia(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture @ SEPIA.T, 0, 255)


def toned(*white: int) -> Tint:
    """Grey on paper of that colour."""
    return lambda picture: picture @ np.full((3, 1), 1 / 3) / 255 * np.array(white)


def duotone(picture: np.ndarray) -> np.ndarray:
    inks = np.array([[32, 22, 12], [154, 122, 85], [255, 241, 216]])
    mean = picture.mean(2)
    return np.stack([np.interp(mean, [0, 127, 255], ink) for ink in inks.T], axis=2)


def rounded(values: np.ndarray) -> np.ndarray:
    return values.round().astype(np.uint8)


def scanned(picture: np.ndarray) -> np.ndarray:
    """A grey print through a colour sensor."""
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(grey(picture) + noise, 0, 255).round().astype(np.uint8)


def hand_coloured(picture: np.ndarray, ground: Tint = grey) -> np.ndarray:
    """Cheeks and a ribbon painted onto a print."""
    result = ground(picture).astype(np.float64)
    height, width = result.shape[:2]
    result[height // 3 : height // 2, width // 3 : width // 2] *= (1.1, 1, 0.9)
    result[-height // 6 :, width // 3 : width // 2] *= (0.6, 0.8, 1.3)
    return np.clip(result, 0, 255).astype(np.uint8)


def half_grey(picture: np.ndarray) -> np.ndarray:
    result = grey(picture).copy()
    result[:, picture.shape[1] // 2 :] = picture[:, picture.shape[1] // 2 :]
    return result


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture).astype(np.float32) / 255).permute(2, 0, 1)[None]


def hue(picture: torch.Tensor) -> torch.Tensor:
    """In degrees, of the plane across the grey axis."""
    red, green, blue = picture.double().unbind(1)
    return torch.rad2deg(torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue))


def painted(picture: torch.Tensor) -> torch.Tensor:
    """What a network may make of it: sharper, lighter here and darker there, with colours of its own."""
    generator = torch.Generator().manual_seed(3)
    colours = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), picture.shape[-2:])
    return (picture * 1.05 + 0.3 * (colours - 0.5)).clamp(0, 1)


@pytest.mark.parametrize("quality", [None, 90, 30])
@pytest.mark.parametrize("side", [40, 128, 400])
def test_grey_is_found_and_kept(side: int, quality: int | None) -> None:
    picture = grey(portrait(side))
    picture = picture if quality is None else jpeg(picture, quality)
    toning = toning_of(tensor(picture))
    assert toning is not None
    assert toning.is_grey
    result = toning.apply(painted(tensor(picture)))
    assert torch.equal(result[:, 0], result[:, 1])
    assert torch.equal(result[:, 0], result[:, 2])
    torch.testing.assert_close(luma_of(result), luma_of(painted(tensor(picture))))
    assert toning.apply(tensor(picture)) is not None
    assert torch.equal(toning.apply(tensor(picture)), tensor(picture))  # bit by bit


@pytest.mark.parametrize("quality", [None, 90, 60])
@pytest.mark.parametrize("side", [64, 400])
@pytest.mark.parametrize(
    "tint", [sepia, toned(255, 220, 170), toned(120, 170, 255), toned(255, 235, 215), duotone],
    ids=["sepia", "brown", "cyanotype", "pale", "duotone"],
)  # fmt: skip
def test_a_tint_keeps_its_hue(tint: Tint, side: int, quality: int | None) -> None:
    printed = rounded(tint(grey(portrait(side))))
    picture = tensor(printed if quality is None else jpeg(printed, quality))
    toning = toning_of(picture)
    assert toning is not None
    assert toning.where is None
    ramp = tensor(tint(np.linspace(0, 255, 4096)[None, :, None].repeat(3, 2)))  # what belongs to each brightness
    for result in (toning.apply(painted(picture)), toning.apply(picture)):
        shown = result.amax(1) - result.amin(1) > 24 / 255
        brightness = luma_of(result)[:, 0][shown].contiguous()
        at = torch.searchsorted(luma_of(ramp).flatten(), brightness).clamp(max=4095)
        apart = (hue(result)[shown] - hue(ramp).flatten()[at] + 180) % 360 - 180
        limit = 6.0 if quality and tint is duotone else 2.0
        assert torch.quantile(apart.abs()[:: max(1, len(apart) // 100_000)], 0.99) <= limit
        coloured = picture.amax(1) - picture.amin(1) > 24 / 255
        assert shown.float().mean() > 0.6 * coloured.float().mean()  # and is no greyer than it was


@pytest.mark.parametrize("quality", [90, 60])
def test_a_colour_portrait_before_white_is_no_tint(quality: int) -> None:
    """Only skin is coloured, so that colour depends on brightness as far as noise lets one see; a print of the same
    inks, whose white has a colour, is a tint still."""
    mean = portrait(128).mean(2)
    noise = np.random.default_rng(0).normal(0, 5, (128, 128, 3))

    def shown(white: tuple[int, int, int]) -> torch.Tensor:
        inks = np.array([[18, 16, 16], [180, 128, 108], white])
        colours = np.stack([np.interp(mean, [20, 110, 230], ink) for ink in inks.T], axis=2)
        return tensor(jpeg(rounded(np.clip(colours + noise, 0, 255)), quality))

    assert toning_of(shown((245, 246, 247))) is None
    assert toning_of(shown((255, 225, 200))) is not None


@pytest.mark.parametrize("quality", [90, 75, 50])
@pytest.mark.parametrize("white", [(255, 220, 170), (120, 170, 255)], ids=["brown", "cyanotype"])
def test_a_tiny_jpeg_keeps_the_hue_of_its_tint(white: tuple[int, int, int], quality: int) -> None:
    """Its nine blocks of colour are each off by some degrees."""
    face = np.asarray(Image.fromarray(data.astronaut()[:256, 100:356]).resize((40, 40), Image.Resampling.BICUBIC))
    picture = tensor(jpeg(rounded(toned(*white)(grey(face))), quality))
    toning = toning_of(picture)
    assert toning is not None
    result = toning.apply(painted(picture))
    shown = result.amax(1) - result.amin(1) > 12 / 255
    assert shown.float().mean() > 0.5
    apart = (hue(result)[shown] - float(hue(torch.tensor(white).view(1, 3, 1, 1).float())) + 180) % 360 - 180
    assert torch.quantile(apart.abs(), 0.99) < 2


@pytest.mark.parametrize("quality", [95, 75, 60])
@pytest.mark.parametrize("white", [(255, 190, 110), (230, 200, 160), (120, 170, 255), (255, 200, 210)])
def test_no_single_level_of_a_jpegs_tint_has_another_hue(white: tuple[int, int, int], quality: int) -> None:
    """Each brightness by itself, however few pixels have it."""
    picture = tensor(jpeg(rounded(toned(*white)(grey(portrait(96)))), quality))
    toning = toning_of(picture)
    assert toning is not None
    levels = torch.linspace(0, float(luma_of(tensor(np.array([[white]], float))).max()), 256)
    ramp = toning.apply(levels.view(1, 1, 1, -1).expand(1, 3, -1, -1))
    shown = ramp.amax(1) - ramp.amin(1) > 24 / 255
    assert shown.float().mean() > 0.4
    wanted = float(hue(torch.tensor(white).view(1, 3, 1, 1).float()))
    assert ((hue(ramp)[shown] - wanted + 180) % 360 - 180).abs().max() < 2


def test_a_plain_tint_keeps_its_hue_within_a_degree_everywhere() -> None:
    picture = tensor(rounded(toned(255, 220, 170)(portrait())))
    toning = toning_of(picture)
    assert toning is not None
    result = toning.apply(painted(picture))
    coloured = result.amax(1) - result.amin(1) > 4 / 255
    wanted = float(hue(torch.tensor([255.0, 220, 170]).view(1, 3, 1, 1)))
    assert (hue(result)[coloured] - wanted).abs().max() < 2
    assert (hue(result)[result.amax(1) - result.amin(1) > 0.06] - wanted).abs().max() < 1


def test_a_grey_print_from_a_colour_scanner_gets_no_colour() -> None:
    toning = toning_of(tensor(scanned(portrait())))
    assert toning is not None
    result = toning.apply(painted(tensor(portrait())))
    assert (result.amax(1) - result.amin(1)).max() < 4 / 255


@pytest.mark.parametrize("quality", [None, 90, 50, 20])
@pytest.mark.parametrize("side", [40, 64, 128, 400])
def test_colour_photos_are_left_alone(side: int, quality: int | None) -> None:
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        photo = np.asarray(Image.fromarray(getattr(data, name)()).resize((side, side), Image.Resampling.BICUBIC))
        assert toning_of(tensor(photo if quality is None else jpeg(photo, quality))) is None, name


@pytest.mark.parametrize("ground", [sepia, toned(255, 220, 170)], ids=["sepia", "brown"])
@pytest.mark.parametrize("side", [64, 128, 400])
def test_hand_coloured_prints_keep_their_colours(side: int, ground: Tint) -> None:
    assert toning_of(tensor(hand_coloured(portrait(side), ground))) is None


@pytest.mark.parametrize("mixed", [half_grey, hand_coloured])
@pytest.mark.parametrize("quality", [None, 90, 50])
def test_what_is_grey_stays_grey_and_what_is_coloured_keeps_its_colour(mixed: Tint, quality: int | None) -> None:
    picture = mixed(portrait())
    given = tensor(picture if quality is None else jpeg(picture, quality))
    toning = toning_of(given)
    assert toning is not None
    assert toning.where is not None
    result = painted(given)
    kept = toning.apply(result)
    spread = torch.nn.functional.max_pool2d(given.amax(1) - given.amin(1), 9, 1, 4)
    inside = spread == 0  # well away from colour
    assert inside.float().mean() > 0.2
    assert (kept.amax(1) - kept.amin(1))[inside].max() == 0
    coloured = (given.amax(1) - given.amin(1)) > 12 / 255
    assert torch.equal(kept.permute(0, 2, 3, 1)[coloured], result.permute(0, 2, 3, 1)[coloured])


def test_where_a_face_is_grey() -> None:
    toning = toning_of(tensor(half_grey(portrait())))
    assert toning is not None
    left, right = toning.at((0, 0, 256, 512), 512, 512), toning.at((300, 0, 512, 512), 512, 512)
    assert left is not None
    assert left.where is None
    assert right is None
    whole = Toning(toning.luma, toning.offsets)
    assert whole.at((0, 0, 1, 1), 9, 9) is whole


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 7), (8, 9), (300, 5)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    assert toning_of(torch.rand(1, 3, *size, generator=generator)) is None
    one = torch.rand(1, 1, *size, generator=generator).expand(1, 3, -1, -1)
    found = toning_of(one)
    assert found is not None
    assert found.is_grey


def test_black_white_and_one_colour(recwarn: pytest.WarningsRecorder) -> None:
    for value in (0.0, 1.0):
        toning = toning_of(torch.full((1, 3, 40, 40), value))
        assert toning is not None
        assert toning.is_grey
    assert toning_of(torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 40, 40)) is None
    overexposed = tensor(portrait()).clone()
    overexposed[..., :100] = 1  # white paper around a colour photo is no reason
    assert toning_of(overexposed) is None
    assert len(recwarn) == 0


def test_a_plainly_coloured_photo_costs_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(_levels: object) -> None:
        raise AssertionError("a tint was fitted")

    monkeypatch.setattr("headsup_core.imaging.tints.chroma.tint_curve", fitted)
    for side in (512, 128):
        assert toning_of(tensor(portrait(side))) is None
        assert toning_of(tensor(jpeg(portrait(side), 80))) is None
    with pytest.raises(AssertionError, match="fitted"):
        toning_of(tensor(rounded(toned(255, 220, 170)(portrait()))))
