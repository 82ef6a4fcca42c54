"""Layers over parts of a map: any chain gives what it gives to the whole, and what was used is freed."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headsup_core.models.codecs.activation_maps import Lazy, Map, Moments, Stored, Window, windows

CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bands(image: torch.Tensor, rows: int) -> Stored:
    return Stored(list(image.split(rows, dim=-2)), CPU)


def upsample(part: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.interpolate(part, scale_factor=2.0), noise(4, 4, 3, 3, seed=1), padding=1)


def downsample(part: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(part, (0, 1, 0, 1)), noise(4, 4, 3, 3, seed=2), stride=2)


def smooth(part: torch.Tensor) -> torch.Tensor:
    return F.conv2d(part, noise(4, 4, 3, 3, seed=3), padding=1)


def chain(x: Map) -> Map:
    up = Lazy(upsample, (x,), 4, factor=Fraction(2))
    twice = Lazy(lambda part: smooth(smooth(part)), (up,), 4, reach=2)
    down = Lazy(downsample, (Lazy(lambda a, b: a - b, (twice, up), 4, reach=0),), 4, factor=Fraction(1, 2))
    return Lazy(smooth, (down,), 4)


@pytest.mark.parametrize("side", [2, 6, 10, 64])
@torch.no_grad()
def test_a_chain_over_parts_is_the_chain_over_the_whole(side: int) -> None:
    image = noise(1, 4, 22, 34)
    up = upsample(image)
    expected = smooth(downsample(smooth(smooth(up)) - up))
    lazy = chain(bands(image, 8))
    assert (lazy.channels, lazy.height, lazy.width) == (4, 22, 34)
    result = torch.zeros_like(image)
    for row in windows(22, 34, side):
        for part in row:
            result[..., part.y0 : part.y1, part.x0 : part.x1] = lazy.read(part)
    assert torch.allclose(result, expected, atol=1e-3 * float(expected.std()))


@torch.no_grad()
def test_rows_are_freed_when_no_later_part_needs_them() -> None:
    image = noise(1, 4, 40, 8)
    source = bands(image, 4)
    lazy = chain(source)
    lazy.read(Window(0, 20, 0, 8))
    assert lazy.sources(20) == {source: 14}  # of two ways to it the longer one
    source.release(14)
    assert source.held == image[..., 12:, :].nbytes
    rest = Window(20, 40, 0, 8)
    assert torch.allclose(lazy.read(rest), chain(bands(image, 40)).read(rest), atol=1e-3)
    other = bands(image, 12)
    assert torch.equal(other.taken_out(), image)
    assert other.held == 0


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_statistics_of_parts_are_those_of_group_norm(offset: float) -> None:
    image = noise(1, 8, 24, 24) + offset
    image[..., :12, :] *= 3
    moments = Moments(8)
    for row in windows(24, 24, 10):
        for part in row:
            moments.add(part.cut(image, 0, 0))
    variance, mean = moments.of_groups(4)
    groups = image.double().reshape(4, -1)
    assert torch.allclose(variance[::2], groups.var(dim=1, correction=0), rtol=1e-4)
    assert torch.allclose(mean[1::2], groups.mean(dim=1), atol=1e-4)
    norm = nn.GroupNorm(4, 8, eps=0)
    ours = (image - mean.float()[None, :, None, None]) / variance.float().sqrt()[None, :, None, None]
    assert torch.allclose(ours, norm(image), atol=1e-4 * (1 + offset))
