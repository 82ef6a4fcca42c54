"""Padding: sizes, what the padding holds, and exact cropping back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.imaging.padding import Crop, add_margin, pad_to_multiple


def image_of(height: int, width: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "multiple", "minimum", "padded"),
    [
        ((1, 1), 8, 0, (8, 8)),
        ((7, 3000), 64, 0, (64, 3008)),
        ((3000, 7), 8, 20, (3000, 24)),  # the minimum is itself rounded up
        ((16, 24), 8, 0, (16, 24)),
        ((16, 24), 8, 32, (32, 32)),
        ((33, 65), 32, 0, (64, 96)),
        ((5, 5), 1, 0, (5, 5)),
    ],
)
def test_padded_size_and_crop_back(size: tuple[int, int], multiple: int, minimum: int, padded: tuple[int, int]) -> None:
    image = image_of(*size)
    result, crop = pad_to_multiple(image, multiple, minimum)
    assert result.shape[-2:] == padded
    assert crop == Crop(*size)
    assert torch.equal(crop.apply(result), image)


def test_long_axes_are_mirrored_and_short_ones_repeated_as_numpy_does() -> None:
    image = image_of(3, 30)
    result, _ = pad_to_multiple(image, 16)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, 13), (0, 0)), mode="edge")
    expected = np.pad(expected, ((0, 0), (0, 0), (0, 0), (0, 2)), mode="reflect")
    np.testing.assert_array_equal(result.numpy(), expected)


def test_a_picture_that_fits_is_passed_through() -> None:
    image = image_of(16, 16)
    assert pad_to_multiple(image, 8)[0] is image


def test_crop_of_an_enlarged_picture() -> None:
    image = image_of(5, 6)
    padded, crop = pad_to_multiple(image, 8)
    larger = padded.repeat_interleave(4, -1).repeat_interleave(4, -2)
    expected = image.repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert torch.equal(crop.apply(larger, 4), expected)


@pytest.mark.parametrize(("size", "multiple"), [((0, 4), 8), ((4, 0), 8), ((4, 4), 0)])
def test_nothing_to_pad_is_refused(size: tuple[int, int], multiple: int) -> None:
    with raises_naming(InputError, 1):
        pad_to_multiple(torch.zeros(1, 3, *size), multiple)


def test_margin_mirrors_and_is_cut_off_again() -> None:
    image = torch.rand(2, 3, 20, 30)
    wider = add_margin(image, 4)
    assert wider.shape == (2, 3, 28, 38)
    assert torch.equal(wider[..., 4:-4, 3], image[..., 1])
    assert torch.equal(wider[..., 27, 4:-4], image[..., -5, :])
    assert torch.equal(Crop(20, 30, 4).apply(wider), image)
    double = wider.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(Crop(20, 30, 4).apply(double, 2)[..., ::2, ::2], image)
    assert add_margin(torch.rand(1, 3, 1, 2), 4).shape == (1, 3, 9, 10)
    assert add_margin(image, 0) is image
