"""Tile plans around faces: every face that fits is whole in one tile and made by that tile alone."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headsup_core.imaging.blending import TileAccumulator, plan_weights
from headsup_core.imaging.box_tiles import Box, plan_face_tiles
from headsup_core.imaging.keeping import starts_keeping
from headsup_core.imaging.tile_plan import TilePlan, plan_tiles


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, int, int, list[Box]]:
    """height, width, tile, overlap, multiple, 0 to 40 boxes, some of them partly outside of the picture."""
    multiple = draw(st.sampled_from([1, 1, 2, 4, 8]))
    longest = {1: 60, 2: 50, 4: 30, 8: 18}[multiple]
    height, width = (multiple * draw(st.integers(1, longest)) for _ in range(2))
    tile = multiple * draw(st.integers(max(2, longest // 5), longest))
    overlap = draw(st.integers(0, min(tile - multiple, max(1, tile // 2))))
    random = Random(draw(st.integers(0, 2**32)))  # noqa: S311
    reach = draw(st.floats(0.02, 0.6))
    boxes: list[Box] = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 5, 40]))):
        x, y = random.uniform(-2, width + 2), random.uniform(-2, height + 2)
        w, h = (random.uniform(0.3, 1.0) * reach * tile for _ in range(2))
        boxes.append((x - w, y - h, x + w, y + h))
    return height, width, tile, overlap, multiple, boxes


def inner(box: Box, height: int, width: int) -> tuple[int, int, int, int] | None:
    """The part in the picture, in whole units."""
    x0, y0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x1, y1 = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def fits(box: tuple[int, int, int, int], height: int, width: int, tile: int, margin: int, multiple: int) -> bool:
    for low, high, side in ((box[1], box[3], height), (box[0], box[2], width)):
        first = max(0, low - margin) // multiple * multiple
        last = math.ceil(min(side, high + margin) / multiple) * multiple
        if last - first > min(tile, side):
            return False
    return True


def all_weights(plan: TilePlan, radius: int, fade: int) -> torch.Tensor:
    """`[tiles,height,width]`."""
    weights = torch.zeros(len(plan.tiles), plan.height, plan.width)
    for index, tile in enumerate(plan.tiles):
        tile.crop(weights[index]).add_(plan_weights(plan, index, radius, fade)[0, 0])
    return weights


def overlapping(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])


@settings(max_examples=300, deadline=None)
@given(layouts())
def test_faces_are_whole_and_alone(layout: tuple[int, int, int, int, int, list[Box]]) -> None:
    height, width, tile, overlap, multiple, boxes = layout
    plain = plan_tiles(height, width, tile, overlap, multiple)
    plan = plan_face_tiles(height, width, tile, overlap, multiple, boxes)
    assert plan == plan_face_tiles(height, width, tile, overlap, multiple, boxes)
    assert plan_face_tiles(height, width, tile, overlap, multiple) == plain
    if len(plain.tiles) == 1:
        assert plan == plain
        return

    # the memory bound, and the bound on the work
    assert max(plan.tile_height, plan.tile_width) <= tile
    assert all((t.height, t.width) == (plan.tile_height, plan.tile_width) for t in plan.tiles)
    assert all(t.y0 >= 0 and t.x0 >= 0 and t.y1 <= height and t.x1 <= width for t in plan.tiles)
    assert all(edge % multiple == 0 for t in plan.tiles for edge in (t.y0, t.y1, t.x0, t.x1))
    assert plan.further <= len(plan.kept) <= len(boxes)
    assert len(plan.tiles) == len(plain.tiles) + plan.further

    rounded = math.ceil(overlap / multiple) * multiple
    margin = rounded // 2
    whole = [box for box in (inner(box, height, width) for box in boxes) if box is not None]
    fitting = {box for box in whole if fits(box, height, width, tile, margin, multiple)}
    radius = min(3, margin)
    weights = all_weights(plan, radius, margin - radius)
    grid = replace(plan, tiles=plan.tiles[: len(plain.tiles)], kept=(), further=0)
    to_one = (all_weights(grid, radius, 0).sum(0) - 1).abs() < 1e-5  # not where three tiles of a row meet
    sums = weights.sum(0)
    assert ((sums - 1).abs() < 1e-5)[to_one].all()
    assert sums.min() > 0.99
    weights = weights / sums

    for box in fitting:
        owners = [kept for kept in plan.kept if _within(box, kept.box)]
        assert owners, "a face that fits is kept, by itself or within a union"
        x0, y0, x1, y1 = box
        held = False
        for kept in owners:
            owner = plan.tiles[kept.tile]
            held |= (
                (owner.y0 == 0 or owner.y0 <= y0 - margin)
                and (owner.y1 == height or owner.y1 >= y1 + margin)
                and (owner.x0 == 0 or owner.x0 <= x0 - margin)
                and (owner.x1 == width or owner.x1 >= x1 + margin)
            )
            # only overlapping boxes of other tiles may take a part
            rivals = [other for other in plan.kept if other.tile != kept.tile and overlapping(other.box, kept.box)]
            if not rivals:
                here = weights[:, y0:y1, x0:x1]
                assert (here[kept.tile] == 1).all()
                assert here.sum(0).sub(here[kept.tile]).abs().max() == 0
        assert held
    if plan.kept:  # the largest face shares nothing
        largest = plan.kept[-1]
        x0, y0, x1, y1 = largest.box
        assert (weights[largest.tile, y0:y1, x0:x1] == 1).all()


def _within(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


@settings(max_examples=60, deadline=None)
@given(layouts(), st.integers(0, 4))
def test_identity_network_reconstructs(layout: tuple[int, int, int, int, int, list[Box]], radius: int) -> None:
    height, width, tile, overlap, multiple, boxes = layout
    plan = plan_face_tiles(height, width, tile, overlap, multiple, boxes)
    image = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(height * width))
    sums = TileAccumulator(*image.shape)
    for index, each in enumerate(plan.tiles):
        sums.add(each, each.crop(image), plan_weights(plan, index, radius, overlap // 4))
    assert torch.allclose(sums.result(), image, atol=1e-6)


def test_a_border_moves_off_a_face_without_a_further_tile() -> None:
    """60 units are the smallest two tiles for 100; a face at 40..60 with 10 units around it needs 70 of them."""
    plan = plan_face_tiles(64, 100, 72, 20, keep=[(40, 10, 60, 30)])
    assert plan_tiles(64, 100, 72, 20).tile_width == 60
    assert [(t.x0, t.x1) for t in plan.tiles] == [(0, 72), (28, 100)]
    assert plan.kept[0].box == (40, 10, 60, 30)
    assert plan.further == 0


def test_each_row_has_its_own_columns() -> None:
    """The middle tile of 72 must begin at 32..36 for the upper face and at 48..56 for the lower one."""
    plan = plan_face_tiles(128, 160, 72, 16, keep=[(44, 10, 84, 30), (76, 100, 112, 120)])
    assert plan.further == 0
    assert len(plan.tiles) == 6
    upper, lower = plan.tiles[1], plan.tiles[4]
    assert (upper.y0, lower.y0) == (0, 56)
    assert 32 <= upper.x0 <= 36
    assert 48 <= lower.x0 <= 56


def test_a_further_tile_holds_what_no_border_can_leave() -> None:
    """Tiles of 20 with overlap 0 at exactly 0, 20, 40 have no room; faces on both borders share one further tile."""
    plan = plan_face_tiles(20, 60, 20, 0, keep=[(18, 5, 22, 9), (24, 5, 30, 9), (38, 5, 42, 9)])
    assert plan.further == 2
    assert [(t.x0, t.x1) for t in plan.tiles[:3]] == [(0, 20), (20, 40), (40, 60)]
    assert {kept.box[0] for kept in plan.kept} == {18, 24, 38}
    assert sorted(kept.tile for kept in plan.kept)[-1] == 4


def test_overlapping_faces_become_one_where_the_union_fits_and_else_the_larger_has_the_common_part() -> None:
    near = plan_face_tiles(64, 200, 64, 8, keep=[(50, 10, 70, 30), (65, 12, 80, 28)])
    assert [kept.box for kept in near.kept] == [(50, 10, 80, 30)]
    wide: list[Box] = [(40, 10, 90, 50), (84, 12, 130, 40)]
    far = plan_face_tiles(64, 200, 64, 8, keep=wide)
    assert [kept.box for kept in far.kept] == [(84, 12, 130, 40), (40, 10, 90, 50)]
    weights = all_weights(far, 1, 3)
    larger = far.kept[-1]
    assert (weights[larger.tile, 10:50, 40:90] == 1).all()
    assert (weights[far.kept[0].tile, 12:40, 94:130] == 1).all()


def test_what_does_not_fit_or_lies_outside_is_left_out() -> None:
    keep: list[Box] = [(0, 0, 61, 20), (-9, -9, -1, -1), (300, 0, 310, 9), (5, 5, 5, 9)]
    plan = plan_face_tiles(64, 200, 64, 8, keep=keep)
    assert plan == plan_tiles(64, 200, 64, 8)


def test_neighbours_in_two_tiles_fade_over_half_of_what_parts_them() -> None:
    plan = plan_face_tiles(40, 400, 40, 16, keep=[(30, 4, 50, 36), (53, 4, 73, 36)])
    assert [kept.clearance for kept in plan.kept] == [3, 3]
    weights = all_weights(plan, 0, 8)
    for kept in plan.kept:
        x0, y0, x1, y1 = kept.box
        assert (weights[kept.tile, y0:y1, x0:x1] == 1).all()


def test_scaled_plan_keeps_the_same_places() -> None:
    plan = plan_face_tiles(40, 400, 40, 16, keep=[(30, 4, 50, 36)]).scaled(4)
    assert plan.kept[0].box == (120, 16, 200, 144)
    assert plan.kept[0].clearance == 32


@pytest.mark.parametrize("seed", range(20))
def test_starts_keep_as_many_as_any_placement(seed: int) -> None:
    """Against every placement of three spans."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    length, size, overlap = draw(24, 30), 12, draw(0, 3)
    count = math.ceil((length - overlap) / (size - overlap))
    intervals = []
    for _ in range(6):
        start = draw(0, length - 9)
        intervals.append((start, start + draw(3, 9)))

    def kept(starts: tuple[int, ...]) -> int:
        return sum(any(s <= low and high <= s + size for s in starts) for low, high in intervals)

    last = length - size
    placements = [
        (0, *inside, last)
        for inside in itertools.combinations(range(1, last), count - 2)
        if all(b - a <= size - overlap for a, b in itertools.pairwise((0, *inside, last)))
    ]
    starts = tuple(starts_keeping(length, size, count, overlap, intervals))
    assert starts in placements
    assert kept(starts) == max(kept(each) for each in placements)


def test_forty_faces_on_a_large_picture_cost_less_than_twice_the_plain_plan() -> None:
    generator = torch.Generator().manual_seed(1)
    places = torch.rand(40, 2, generator=generator) * 1000
    boxes: list[Box] = [(x, y, x + 30, y + 40) for x, y in places.tolist()]
    plan = plan_face_tiles(1024, 1024, 256, 32, 4, boxes)
    assert plan.work_ratio < 2 * plan_tiles(1024, 1024, 256, 32, 4).work_ratio
