"""Blending: an identity model, a convolution stack with a known radius, and a plan changed half-way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from harness.refusals import raises_naming
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headsup_core.imaging.blending import TileAccumulator, tile_weights
from headsup_core.imaging.tile_plan import Tile, TilePlan, plan_tiles


def random_image(batch: int, height: int, width: int, seed: int = 0, channels: int = 2) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def run_tiled(
    image: torch.Tensor, plan: TilePlan, radius: int, model: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    total = TileAccumulator(*image.shape)
    for tile in plan.tiles:
        total.add(tile, model(tile.crop(image)), tile_weights(tile, radius))
    return total.result()


def identity(values: torch.Tensor) -> torch.Tensor:
    return values


def summed_weights(plan: TilePlan, radius: int) -> torch.Tensor:
    total = torch.zeros(1, 1, plan.height, plan.width, dtype=torch.float64)
    for tile in plan.tiles:
        tile.crop(total).add_(tile_weights(tile, radius, dtype=torch.float64))
    return total


# --- weights -----------------------------------------------------------------------------------------------------


def test_weights_along_one_axis_by_hand() -> None:
    # overlap 6, radius 2: two zeros, a ramp of two units at 1/4 and 3/4, then ones; no feather at the outer border
    tile = Tile(0, 4, 10, 20, left=6)
    weights = tile_weights(tile, 2)
    assert weights.shape == (1, 1, 4, 10)
    assert weights[0, 0, 0].tolist() == [0, 0, 0.25, 0.75, 1, 1, 1, 1, 1, 1]
    assert torch.equal(weights[0, 0, 0], weights[0, 0, 3])


@pytest.mark.parametrize(
    ("overlap", "radius", "expected"),
    [
        (4, 0, [0.125, 0.375, 0.625, 0.875, 1, 1]),
        (3, 1, [0, 0.5, 1, 1, 1, 1]),  # one unit of ramp
        (3, 9, [0, 0.5, 1, 1, 1, 1]),  # radius clamped to (3 - 1) // 2
        (4, 9, [0, 0.25, 0.75, 1, 1, 1]),
        (1, 5, [0.5, 1, 1, 1, 1, 1]),
        (0, 5, [1, 1, 1, 1, 1, 1]),  # no overlap: nothing to feather
    ],
)
def test_ramp_table(overlap: int, radius: int, expected: list[float]) -> None:
    weights = tile_weights(Tile(5, 11, 0, 1, top=overlap), radius)
    assert weights[0, 0, :, 0].tolist() == expected
    mirrored = tile_weights(Tile(5, 11, 0, 1, bottom=overlap), radius)
    assert mirrored[0, 0, :, 0].tolist() == expected[::-1]


def test_corner_is_the_product_of_its_sides() -> None:
    weights = tile_weights(Tile(4, 12, 4, 12, top=4, right=2), 1, dtype=torch.float64)[0, 0]
    rows = torch.tensor([0, 0.25, 0.75, 1, 1, 1, 1, 1], dtype=torch.float64)
    columns = torch.tensor([1, 1, 1, 1, 1, 1, 0.75, 0.25], dtype=torch.float64)
    assert torch.equal(weights, rows[:, None] * columns)


@pytest.mark.parametrize(("tile", "overlap", "radius"), [(32, 8, 0), (32, 8, 3), (40, 16, 5), (33, 1, 0)])
def test_raw_weights_sum_to_one_when_only_neighbours_overlap(tile: int, overlap: int, radius: int) -> None:
    total = summed_weights(plan_tiles(100, 131, tile, overlap), radius)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 120), st.integers(1, 40), st.data())
def test_raw_weights_never_sum_to_less_than_one(width: int, tile: int, data: st.DataObject) -> None:
    """Tiles i and i + 2 may overlap as well; the sum is then above one, never a hole that normalising would blow up."""
    overlap = data.draw(st.integers(0, tile - 1))
    radius = data.draw(st.integers(0, 40))
    total = summed_weights(plan_tiles(5, width, tile, overlap), radius)
    assert total.min() >= 1 - 1e-12


# --- identity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*range(1, 20), *range(20, 300, 20), 299, 300])
def test_identity_for_every_size(size: int) -> None:
    for index, (tile, overlap, multiple) in enumerate(
        [(1, 0, 1), (5, 4, 1), (16, 4, 1), (64, 33, 1), (96, 32, 1), (32, 8, 8), (64, 40, 8), (512, 64, 1)]
    ):
        if size / max(tile - overlap, 1) > 40:
            continue
        height = -(-size // multiple) * multiple
        width = -(-(size * 7 % 301 or 1) // multiple) * multiple
        if width / (tile - overlap) > 40:
            width = height
        image = random_image(index % 3 + 1, height, width, size)
        result = run_tiled(image, plan_tiles(height, width, tile, overlap, multiple), index % 4 * 2, identity)
        assert (result - image).abs().max() <= 1e-6


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.integers(1, 90), st.integers(1, 90), st.integers(4, 64), st.data())
def test_identity_for_any_plan(batch: int, height: int, width: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 3))
    radius = data.draw(st.integers(0, 12))
    image = random_image(batch, height, width, height)
    result = run_tiled(image, plan_tiles(height, width, tile, overlap), radius, identity)
    assert (result - image).abs().max() <= 1e-6


@pytest.mark.parametrize(("height", "width"), [(7, 3000), (3000, 7), (1, 1)])
def test_identity_of_thin_pictures(height: int, width: int) -> None:
    image = random_image(2, height, width)
    result = run_tiled(image, plan_tiles(height, width, 128, 48), 16, identity)
    assert (result - image).abs().max() <= 1e-6


# --- a network with a bounded receptive field --------------------------------------------------------------------


def conv_stack(kernels: tuple[int, ...], seed: int) -> tuple[nn.Module, int]:
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for kernel in kernels:
        layer = nn.Conv2d(2, 2, kernel, padding=kernel // 2)
        for parameter in layer.parameters():  # biases matter: they make the zero padding of tiles visible
            nn.init.normal_(parameter, std=0.5, generator=generator)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers).requires_grad_(False), sum(kernel // 2 for kernel in kernels)


@pytest.mark.parametrize("kernels", [(3,), (3, 3, 3), (5, 1, 3, 7)])
@pytest.mark.parametrize("ramp", [1, 2, 9])
@pytest.mark.parametrize(("height", "width"), [(90, 61), (7, 300), (33, 64)])
def test_tiled_network_equals_untiled(kernels: tuple[int, ...], ramp: int, height: int, width: int) -> None:
    model, radius = conv_stack(kernels, seed=ramp)
    image = random_image(2, height, width, seed=height)
    plan = plan_tiles(height, width, 32, 2 * radius + ramp)
    assert len(plan.tiles) > 1
    assert (run_tiled(image, plan, radius, model) - model(image)).abs().max() <= 1e-5


def test_tiles_that_ignore_the_radius_do_show() -> None:
    """The test above can fail: without zero weights at inner borders the seams are visible."""
    model, radius = conv_stack((3, 3, 3), seed=1)
    image = random_image(1, 90, 61)
    plan = plan_tiles(90, 61, 32, 2 * radius + 1)
    assert (run_tiled(image, plan, 0, model) - model(image)).abs().max() > 1e-3


def test_uncovered_units_are_an_error() -> None:
    plan = plan_tiles(10, 30, 20, 10)
    total = TileAccumulator(1, 1, 10, 30)
    total.add(plan.tiles[0], torch.ones(1, 1, 10, 20), tile_weights(plan.tiles[0], 4))
    # 10 + 4 units of ramp and ones before the 4 zeros: columns 16 to 29 are missing
    with raises_naming(RuntimeError, 140, 300):
        total.result()


def test_values_of_another_size_are_refused() -> None:
    total = TileAccumulator(1, 3, 10, 10)
    tile = Tile(0, 10, 0, 5)
    with raises_naming(ValueError, (1, 1, 10, 5)):
        total.add(tile, torch.ones(1, 1, 10, 5), torch.ones(1, 1, 10, 5))  # would broadcast silently


def test_half_precision_values_are_summed_in_float32_and_inputs_are_untouched() -> None:
    plan = plan_tiles(20, 20, 12, 6)
    image = random_image(1, 20, 20).half()
    before = image.clone()
    with torch.inference_mode():
        result = run_tiled(image, plan, 1, identity)
    assert result.dtype == torch.float32
    assert (result - image.float()).abs().max() <= 1e-6
    assert torch.equal(image, before)
