"""Resizing against Pillow and numpy, and the arithmetic of output sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headsup_core.errors import InputError
from headsup_core.imaging.resizing import RESIZE_MODES, output_size, resize


def image_of(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(20, 13), (64, 96), (37, 7), (200, 31)])
def test_bicubic_is_pillows_antialiased_bicubic(size: tuple[int, int]) -> None:
    image = image_of(37, 48)
    for channel, result in zip(image[0], resize(image, *size, clamp=False)[0], strict=True):
        expected = Image.fromarray(channel.numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(result.numpy(), np.asarray(expected), atol=2e-5)


def test_area_is_the_mean_of_the_covered_pixels() -> None:
    image = image_of(12, 20, 2)
    expected = image.reshape(2, 3, 4, 3, 10, 2).mean((3, 5))
    torch.testing.assert_close(resize(image, 4, 10, "area"), expected)


def test_nearest_takes_pixel_centres() -> None:
    image = torch.arange(10.0).reshape(1, 1, 1, 10) / 10
    assert torch.equal(resize(image, 1, 2, "nearest"), image[..., [2, 7]])
    assert torch.equal(resize(image, 3, 20, "nearest"), image.repeat_interleave(2, -1).expand(1, 1, 3, 20))


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_same_size_is_exact_and_dtype_is_kept(mode: str, dtype: torch.dtype) -> None:
    image = image_of(9, 11).to(dtype)
    assert torch.equal(resize(image, 9, 11, mode), image)
    assert resize(image, 5, 30, mode).dtype == dtype


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_one_pixel_and_thin_pictures(mode: str) -> None:
    assert torch.allclose(resize(torch.full((1, 3, 1, 1), 0.3), 40, 60, mode), torch.full((1, 3, 40, 60), 0.3))
    assert resize(image_of(7, 3000), 1, 750, mode).shape == (1, 3, 1, 750)


def test_clamping_removes_the_overshoot() -> None:
    step = (torch.arange(16) >= 8).float().expand(1, 3, 16, 16)
    raw = resize(step, 64, 64, clamp=False)
    assert raw.max() > 1.01
    assert raw.min() < -0.01
    assert torch.equal(resize(step, 64, 64), raw.clamp(0, 1))


@pytest.mark.parametrize(("size", "mode"), [((0, 4), "bicubic"), ((4, -1), "area"), ((4, 4), "lanczos9")])
def test_impossible_resizes_are_refused(size: tuple[int, int], mode: str) -> None:
    with pytest.raises(InputError):
        resize(image_of(4, 4), *size, mode=mode)


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((100, 50), {"scale": 4}, (400, 200)),
        ((3, 5), {"scale": 0.5}, (2, 3)),  # 1.5 and 2.5 both round up
        ((1, 1), {"scale": 0.01}, (1, 1)),
        ((480, 640), {"long_edge": 1024}, (768, 1024)),
        ((640, 480), {"long_edge": 1024}, (1024, 768)),
        ((7, 3000), {"long_edge": 100}, (1, 100)),
        ((1000, 1000), {"scale": 4, "max_megapixels": 4}, (2000, 2000)),
        ((1000, 1000), {"scale": 4, "max_megapixels": 0}, (4000, 4000)),
        ((1000, 1000), {"scale": 1, "max_megapixels": 16}, (1000, 1000)),  # a cap never enlarges
        ((1000, 2000), {"scale": 4, "max_megapixels": 1}, (707, 1414)),
        ((20000, 1), {"scale": 1, "max_megapixels": 0.01}, (10000, 1)),
        ((16384, 16384), {"scale": 8, "max_megapixels": 4}, (2000, 2000)),  # the cap comes before the side limit
    ],
)
def test_output_size(size: tuple[int, int], options: dict[str, float], expected: tuple[int, int]) -> None:
    assert output_size(*size, **options) == expected


@given(st.integers(1, 20000), st.integers(1, 20000), st.floats(0.01, 8), st.floats(1e-6, 50))
def test_cap_is_never_exceeded_and_keeps_the_shape(height: int, width: int, scale: float, cap: float) -> None:
    try:
        out_height, out_width = output_size(height, width, scale=scale, max_megapixels=cap)
    except InputError:
        assert max(height, width) * scale > 65536
        return
    assert min(out_height, out_width) >= 1
    assert out_height * out_width <= max(1, int(cap * 1e6))
    wanted = scale * min(1, math.sqrt(cap * 1e6 / (height * scale * width * scale)))
    if min(height, width) * wanted > 30:
        assert out_height == pytest.approx(height * wanted, abs=2.5, rel=0.02)
        assert out_width == pytest.approx(width * wanted, abs=2.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "give exactly one"),
        ({"scale": 4, "long_edge": 100}, ("scale", 4, "long edge", 100)),
        ({"scale": 0}, ("scale", 0)),
        ({"scale": -2}, ("scale", -2, 0)),
        ({"scale": math.nan}, ("scale", math.nan)),
        ({"scale": math.inf}, ("scale", math.inf)),
        ({"scale": 1e300}, ("scale", 1e300)),
        ({"long_edge": 0}, ("long edge", 0)),
        ({"long_edge": 70000}, ("long edge", 70000, 1, 65536)),
        ({"scale": 1, "max_megapixels": -1}, ("megapixels", -1)),
        ({"scale": 1, "max_megapixels": math.nan}, ("megapixels", math.nan)),
        ({"scale": 4}, ("50x20000", "200x80000", 65536)),
    ],
)
def test_impossible_sizes_are_refused_with_the_numbers(options: dict[str, float], named: tuple[object, ...]) -> None:
    with raises_naming(InputError, *named):
        output_size(20000, 50, **options)


def test_empty_picture_is_refused() -> None:
    with raises_naming(InputError, "0x4"):
        output_size(4, 0, scale=2)
