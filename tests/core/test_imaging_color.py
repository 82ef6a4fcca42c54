"""Colour fixes against the published formulas written out, and sRGB <-> Lab against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness.refusals import raises_naming
from skimage import color as skcolor
from skimage import data as skdata

from headsup_core.errors import InputError
from headsup_core.imaging.color import COLOR_FIXES, apply_color_fix, low_frequencies
from headsup_core.imaging.lab import lab_to_rgb, rgb_to_lab

FIXES = [fix for fix in COLOR_FIXES if fix != "none"]


def random_image(height: int, width: int, seed: int, batch: int = 1) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def astronaut(size: int = 128) -> torch.Tensor:
    photo = torch.from_numpy(skdata.astronaut().copy()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(photo, (size, size), mode="area")


def published_blur(image: torch.Tensor, radius: int) -> torch.Tensor:
    """The dilated 3x3 kernel as one convolution on a replicated border."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=image.dtype) / 16
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3, dilation=radius)


def published_wavelet(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high = torch.zeros_like(image)
    for level in range(5):
        low = published_blur(image, 2**level)
        high += image - low
        image = low
    return high, image


@pytest.mark.parametrize("size", [(64, 48), (7, 300), (1, 1), (5, 5)])
def test_wavelet_is_the_published_decomposition(size: tuple[int, int]) -> None:
    image, reference = random_image(*size, 0, 2).double(), random_image(*size, 1, 2).double()
    low = published_wavelet(reference)[1]
    torch.testing.assert_close(low_frequencies(reference), low)
    expected = (published_wavelet(image)[0] + low).clamp(0, 1)
    torch.testing.assert_close(apply_color_fix(image, reference, "wavelet"), expected)


@pytest.mark.parametrize(("size", "contrast"), [((20, 30), 1.0), ((1, 3), 0.01)])
def test_adain_is_the_published_formula(size: tuple[int, int], contrast: float) -> None:
    """The second case has so little variance that its epsilon and its n - 1 are seen."""
    image, reference = contrast * random_image(*size, 0, 2), 0.5 * random_image(*size, 1, 2) + 0.2
    expected = np.empty(image.shape)
    for index in np.ndindex(2, 3):
        x, y = image[index].double().numpy(), reference[index].double().numpy()
        std_x, std_y = np.sqrt(x.var(ddof=1) + 1e-5), np.sqrt(y.var(ddof=1) + 1e-5)
        expected[index] = (x - x.mean()) / std_x * std_y + y.mean()
    np.testing.assert_allclose(apply_color_fix(image, reference, "adain").numpy(), expected.clip(0, 1), atol=1e-6)


def test_lab_conversion_is_scikit_images_and_reversible() -> None:
    levels = torch.tensor([0.0, 0.02, 0.04, 0.2, 0.5, 0.9, 1.0])
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 7, 49).double()
    lab = rgb_to_lab(cube)
    expected = skcolor.rgb2lab(cube[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(lab[0].permute(1, 2, 0).numpy(), expected, atol=0.02)
    back = skcolor.lab2rgb(lab[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(lab_to_rgb(lab)[0].permute(1, 2, 0).numpy(), back, atol=2e-4)
    torch.testing.assert_close(lab_to_rgb(lab), cube, rtol=0, atol=1e-9)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(cube.float())), cube.float(), rtol=0, atol=2e-5)


def test_grey_has_no_chroma() -> None:
    grey = torch.linspace(0, 1, 11).expand(1, 3, 1, 11)
    lab = rgb_to_lab(grey)
    assert lab[:, 1:].abs().max() < 1e-4
    assert lab[0, 0, 0, -1].item() == pytest.approx(100, abs=1e-4)


@pytest.mark.parametrize("mode", COLOR_FIXES)
@pytest.mark.parametrize("size", [(1, 1), (7, 3000), (33, 20)])
def test_own_colours_are_kept(mode: str, size: tuple[int, int]) -> None:
    image = random_image(*size, 3, 2)
    result = apply_color_fix(image, image, mode)
    assert result.shape == image.shape
    assert (result - image).abs().max() < 2e-5


@pytest.mark.parametrize("mode", FIXES)
def test_one_pixel_takes_the_reference_colour(mode: str) -> None:
    image = torch.tensor([0.3, 0.5, 0.6]).reshape(1, 3, 1, 1)
    reference = torch.tensor([0.4, 0.3, 0.5]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(apply_color_fix(image, reference, mode), reference, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", FIXES)
def test_a_colour_cast_is_removed_and_detail_stays(mode: str) -> None:
    photo = 0.15 + 0.6 * astronaut()
    cast = torch.tensor([0.06, -0.04, 0.05]).reshape(1, 3, 1, 1)
    fixed = apply_color_fix(photo + cast, photo, mode)
    before = cast.abs().mean()
    assert (fixed - photo).abs().mean() < 0.25 * before
    detail, wanted = fixed - low_frequencies(fixed), photo - low_frequencies(photo)
    assert torch.corrcoef(torch.stack((detail.flatten(), wanted.flatten())))[0, 1] > 0.98


@pytest.mark.parametrize(("mode", "removes"), [("adain", False), ("wavelet", True), ("lab", True)])
def test_which_fix_removes_a_local_cast(mode: str, removes: bool) -> None:
    """A cast on the left half only: the global statistics of adain cannot follow it."""
    photo = 0.2 + 0.5 * astronaut(256)
    cast = torch.zeros_like(photo)
    cast[:, 0, :, :128] = 0.08
    chroma_error = (rgb_to_lab(apply_color_fix(photo + cast, photo, mode)) - rgb_to_lab(photo))[:, 1:, :, :96].abs()
    before = (rgb_to_lab(photo + cast) - rgb_to_lab(photo))[:, 1:, :, :96].abs()
    assert bool(chroma_error.mean() < 0.2 * before.mean()) == removes


@pytest.mark.parametrize(("mode", "rim"), [("adain", False), ("wavelet", True), ("lab", False)])
def test_no_bright_rim_around_a_dark_person(mode: str, rim: bool) -> None:
    """Sharp dark figure before a bright wall, blurred reference: the wall must stay flat right up to the edge."""
    sharp = torch.full((1, 3, 200, 200), 0.75)
    sharp[:, :, 60:, 70:130] = torch.tensor([0.3, 0.2, 0.15])[:, None, None]
    blurred = low_frequencies(sharp)
    wall = rgb_to_lab(apply_color_fix(sharp, blurred, mode))[:, 0][:, :, :70]
    assert bool(wall.max() - wall.median() > 1.0) == rim
    if not rim:
        # chroma may drift near the edge of a lab fix, brightness may not
        assert wall.max() - wall.min() < 0.2


def test_lab_keeps_local_contrast_of_the_output() -> None:
    photo = 0.2 + 0.5 * astronaut(256)
    noisy = (photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for reference in (noisy, low_frequencies(photo)):
        fixed = rgb_to_lab(apply_color_fix(photo, reference, "lab"))[:, :1]
        wanted = rgb_to_lab(photo)[:, :1]
        gain = (fixed - low_frequencies(fixed)).std() / (wanted - low_frequencies(wanted)).std()
        assert 0.8 < gain < 1.1


@pytest.mark.parametrize("mode", COLOR_FIXES)
def test_pictures_of_a_batch_do_not_mix(mode: str) -> None:
    image, reference = (
        random_image(24, 31, 0, 3),
        random_image(24, 31, 1, 3) * torch.tensor([0.5, 1, 1.2]).reshape(3, 1, 1, 1),
    )
    together = apply_color_fix(image, reference, mode)
    alone = torch.cat([apply_color_fix(image[i : i + 1], reference[i : i + 1], mode) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", COLOR_FIXES)
def test_results_are_clamped_and_inputs_untouched(mode: str) -> None:
    image = random_image(16, 16, 0).half() * 3 - 1
    reference = torch.ones_like(image)
    before = image.clone()
    result = apply_color_fix(image, reference, mode)
    assert result.dtype == torch.float16
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(image, before)


def test_wrong_use_is_refused() -> None:
    image = random_image(4, 4, 0)
    with raises_naming(InputError, "sepia", "none", "adain", "wavelet", "lab"):
        apply_color_fix(image, image, "sepia")
    with raises_naming(InputError, "(1, 3, 4, 4)", "(1, 3, 4, 5)"):
        apply_color_fix(image, random_image(4, 5, 0), "adain")
    with pytest.raises(InputError):
        apply_color_fix(image[:, :1], image[:, :1], "adain")
