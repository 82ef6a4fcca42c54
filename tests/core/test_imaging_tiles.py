"""Geometry of tile plans, against a brute-force search and hand-made tables."""

from __future__ import annotations

import itertools

import pytest
import torch
from harness.refusals import raises_naming
from hypothesis import given, settings
from hypothesis import strategies as st

from headsup_core.errors import InputError
from headsup_core.imaging.tile_plan import Tile, plan_tiles


def brute_force(length: int, tile: int, overlap: int) -> tuple[int, int]:
    """(number of tiles, tile size) by trying every number and size in turn."""
    for count in itertools.count(1):
        for size in range(1, tile + 1):
            if count == 1 and size == length:
                return count, size
            if count > 1 and count * size - (count - 1) * overlap >= length and size > overlap:
                return count, size
    raise AssertionError


def check_axis(spans: list[tuple[int, int, int, int]], length: int, overlap: int, multiple: int) -> None:
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert spans[0][2] == spans[-1][3] == 0
    steps = set()
    for (start, end, _, after), (next_start, next_end, before, _) in itertools.pairwise(spans):
        assert start < next_start
        assert end < next_end
        assert after == before == end - next_start >= overlap
        steps.add(next_start - start)
    assert not steps or max(steps) - min(steps) <= multiple
    assert all(value % multiple == 0 for span in spans for value in span)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([1, 1, 2, 8]))
def test_plan_covers_with_the_fewest_smallest_evenly_spread_tiles(data: st.DataObject, multiple: int) -> None:
    height, width = (multiple * data.draw(st.integers(1, 120)) for _ in range(2))
    tile = data.draw(st.integers(multiple, 80 * multiple))
    largest = tile // multiple * multiple
    overlap = data.draw(st.integers(0, largest - multiple))
    plan = plan_tiles(height, width, tile, overlap, multiple)
    rounded = -(-overlap // multiple) * multiple

    assert (plan.height, plan.width) == (height, width)
    assert {(t.height, t.width) for t in plan.tiles} == {(plan.tile_height, plan.tile_width)}
    rows = list(dict.fromkeys((t.y0, t.y1, t.top, t.bottom) for t in plan.tiles))
    columns = list(dict.fromkeys((t.x0, t.x1, t.left, t.right) for t in plan.tiles))
    assert len(plan.tiles) == len(rows) * len(columns)
    check_axis(rows, height, rounded, multiple)
    check_axis(columns, width, rounded, multiple)
    for spans, size, length in ((rows, plan.tile_height, height), (columns, plan.tile_width, width)):
        expected = brute_force(length // multiple, tile // multiple, rounded // multiple)
        assert (len(spans), size // multiple) == expected
    area = sum(t.height * t.width for t in plan.tiles)
    assert plan.work_ratio == pytest.approx(area / (height * width))


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "multiple", "starts", "tile_size"),
    [
        (100, 100, 10, 1, [0], 100),  # exactly one
        (100, 64, 0, 1, [0, 50], 50),  # two halves instead of 64 + 36
        (100, 64, 28, 1, [0, 36], 64),  # 2 * 64 - 28 = 100: just fits
        (101, 64, 28, 1, [0, 24, 48], 53),  # 3 s - 2 * 28 >= 101: s = 53
        (128, 96, 32, 8, [0, 48], 80),  # published 96/32 latents at 1024 px
        (256, 96, 32, 1, [0, 56, 112, 168], 88),  # ceil((256 + 3 * 32) / 4)
        (7, 512, 64, 1, [0], 7),  # thin: the picture's own size
        (1, 1, 0, 1, [0], 1),
    ],
)
def test_known_plans(size: int, tile: int, overlap: int, multiple: int, starts: list[int], tile_size: int) -> None:
    plan = plan_tiles(size, size, tile, overlap, multiple)
    assert sorted({t.y0 for t in plan.tiles}) == starts
    assert plan.tile_height == plan.tile_width == tile_size


def test_thin_picture_is_cut_along_its_length_only() -> None:
    plan = plan_tiles(7, 3000, 512, 64)
    assert plan.tile_height == 7
    assert len(plan.tiles) == 7
    assert all(t.top == t.bottom == 0 for t in plan.tiles)
    assert plan.tiles[0].left == plan.tiles[-1].right == 0
    assert min(t.left for t in plan.tiles[1:]) >= 64


def test_inner_and_outer_borders() -> None:
    plan = plan_tiles(100, 100, 64, 28)
    assert plan.tiles == (
        Tile(0, 64, 0, 64, 0, 28, 0, 28),
        Tile(0, 64, 36, 100, 0, 28, 28, 0),
        Tile(36, 100, 0, 64, 28, 0, 0, 28),
        Tile(36, 100, 36, 100, 28, 0, 28, 0),
    )
    assert plan.work_ratio == pytest.approx(4 * 64 * 64 / 10000)


def test_scaled_plan_is_the_same_place_in_pixels() -> None:
    plan = plan_tiles(13, 40, 16, 4)
    scaled = plan.scaled(8)
    assert (scaled.height, scaled.width, scaled.tile_height, scaled.tile_width) == (
        104,
        320,
        8 * plan.tile_height,
        8 * plan.tile_width,
    )
    assert scaled.work_ratio == plan.work_ratio
    assert scaled.tiles[1] == Tile(0, 104, 8 * plan.tiles[1].x0, 8 * plan.tiles[1].x1, 0, 0, 8 * 4, 8 * 4)


def test_crop_is_the_tile_of_the_tensor() -> None:
    image = torch.arange(2 * 3 * 10 * 10).reshape(2, 3, 10, 10)
    assert torch.equal(Tile(2, 6, 1, 4).crop(image), image[:, :, 2:6, 1:4])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((64, 64, 512, 512), ("tile", 512, "overlap")),
        ((4096, 64, 512, 600), ("tile", 512, "overlap", 600)),
        ((64, 64, 60, 50, 8), ("tile", 60, "overlap", 50, 56, 8)),
        ((64, 64, 512, -1), ("overlap", -1, 0)),
        ((64, 64, 0, 0), ("tile", 0, 1)),
        ((64, 64, -8, 0), ("tile", -8, 1)),
        ((0, 64, 64, 0), ("height", 0, 1)),
        ((64, 0, 64, 0), ("width", 0, 1)),
        ((64, 64, 64, 0, 0), ("multiple", 0, 1)),
        ((64, 100, 64, 0, 8), ("width", 100, 8, 104)),
        ((64, 64, 7, 0, 8), ("tile", 7, 8)),
    ],
)
def test_impossible_plans_are_refused_with_the_numbers(arguments: tuple[int, ...], named: tuple[object, ...]) -> None:
    with raises_naming(InputError, *named):
        plan_tiles(*arguments)


def test_a_flood_of_tiles_is_refused_at_once() -> None:
    with raises_naming(InputError, 100, 99, "65536x65536"):
        plan_tiles(65536, 65536, 100, 99)
