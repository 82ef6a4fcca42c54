"""Tile plans that keep boxes (faces) whole: borders move around them, and one tile alone makes what is in a box.

A box needs a margin to the inner borders of its tile, half the overlap, in which the network's zero padding is left
behind and the weights fade. What is rounded and searched here is in steps of the plan's `multiple`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .keeping import Interval, free_starts, starts_keeping
from .tile_plan import KeptBox, Tile, TilePlan, plan_tiles

Box = tuple[float, float, float, float]
SIZE_TRIALS = 4
"""Tile sizes tried, from the smallest that covers to the asked one: a larger tile leaves its borders room to move."""


@dataclass(frozen=True)
class _Wanted:
    """A box in whole units, and with its margin in steps: rows and columns that a tile must hold."""

    box: tuple[int, int, int, int]
    rows: Interval
    columns: Interval

    @property
    def area(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def plan_face_tiles(
    height: int, width: int, tile: int, overlap: int, multiple: int = 1, keep: Sequence[Box] = ()
) -> TilePlan:
    """As `plan_tiles`, and every box of `keep` that fits lies whole inside one tile, which alone has weight in it.

    Rows of tiles move first, then in each row its tiles. Where that cannot keep a box, a further tile of the same size
    is laid over the grid. Of several tile sizes (never above `tile`) the one that computes the least area is taken. So
    there are at most as many tiles as `plan_tiles` has, plus one for each box.

    Overlapping boxes become one where their union fits; otherwise the larger one has the common part for itself.

    Args:
        height, width, tile, overlap, multiple: as for `plan_tiles`.
        keep: x0, y0, x1, y1 in the plan's units; what is outside of the picture is cut off. A box fits when it and
            a margin of overlap / 2 around it, rounded to `multiple`, are no larger than `tile`; one that does not is
            left out of `TilePlan.kept`.

    Raises:
        InputError: as `plan_tiles`.
    """
    plan = plan_tiles(height, width, tile, overlap, multiple)
    if len(plan.tiles) == 1:
        return plan
    margin = -(-overlap // multiple) * multiple // 2
    largest = (min(tile, height) // multiple, min(tile, width) // multiple)
    wanted = _merge(_wanted(keep, height, width, margin, multiple, largest), height, width, margin, multiple, largest)
    if not wanted:
        return plan
    plans = [
        _place(plan, size, margin, overlap, multiple, wanted)
        for size in _sizes(plan, largest, multiple)
        if all(_fits(one, size) for one in wanted)
    ]
    return min(plans, key=lambda each: each.work_ratio)


def fits_whole(box: Box, height: int, width: int, tile: int, overlap: int, multiple: int = 1) -> bool:
    """Whether `plan_face_tiles` with these arguments keeps `box` whole; true also outside of the picture."""
    x0, y0, x1, y1 = box
    inner = (max(0, _floor(x0)), max(0, _floor(y0)), min(width, -_floor(-x1)), min(height, -_floor(-y1)))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return True
    margin = -(-overlap // multiple) * multiple // 2
    largest = (min(tile, height) // multiple, min(tile, width) // multiple)
    return _fits(_with_margin(inner, height, width, margin, multiple), largest)


def _wanted(
    keep: Sequence[Box], height: int, width: int, margin: int, multiple: int, largest: tuple[int, int]
) -> list[_Wanted]:
    """The boxes that fit, largest first."""
    found: list[_Wanted] = []
    for x0, y0, x1, y1 in dict.fromkeys(keep):
        left, top = max(0, _floor(x0)), max(0, _floor(y0))
        right, bottom = min(width, -_floor(-x1)), min(height, -_floor(-y1))
        if left < right and top < bottom:
            found.append(_with_margin((left, top, right, bottom), height, width, margin, multiple))
    fitting = {one.box: one for one in found if _fits(one, largest)}
    return sorted(fitting.values(), key=lambda one: (-one.area, one.box))


def _floor(value: float) -> int:
    return int(value // 1)


def _with_margin(box: tuple[int, int, int, int], height: int, width: int, margin: int, multiple: int) -> _Wanted:
    x0, y0, x1, y1 = box
    rows, columns = (
        (max(0, low - margin) // multiple, -(-min(side, high + margin) // multiple))
        for low, high, side in ((y0, y1, height), (x0, x1, width))
    )
    return _Wanted(box, rows, columns)


def _fits(one: _Wanted, size: tuple[int, int]) -> bool:
    return one.rows[1] - one.rows[0] <= size[0] and one.columns[1] - one.columns[0] <= size[1]


def _merge(
    wanted: list[_Wanted], height: int, width: int, margin: int, multiple: int, largest: tuple[int, int]
) -> list[_Wanted]:
    """Overlapping boxes as their union where it fits, largest first."""
    merged: list[_Wanted] = []
    for one in wanted:
        met = True
        while met:  # a union may overlap boxes that neither of its parts does
            met = False
            for other in merged:
                if _gap(one.box, other.box) < 0:
                    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = one.box, other.box
                    box = (min(ax0, bx0), min(ay0, by0), max(ax1, bx1), max(ay1, by1))
                    union = _with_margin(box, height, width, margin, multiple)
                    if _fits(union, largest):
                        merged = [each for each in merged if each is not other]
                        one, met = union, True
                        break
        merged.append(one)
    return sorted(merged, key=lambda one: (-one.area, one.box))


def _gap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """Units between two boxes along the axis that parts them most; negative when they overlap."""
    gap = max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3])
    return gap if gap >= 0 else -1


def _sizes(plan: TilePlan, largest: tuple[int, int], multiple: int) -> Iterator[tuple[int, int]]:
    smallest = (plan.tile_height // multiple, plan.tile_width // multiple)
    shares = range(SIZE_TRIALS)
    yield from dict.fromkeys(
        (
            smallest[0] + (largest[0] - smallest[0]) * share // (SIZE_TRIALS - 1),
            smallest[1] + (largest[1] - smallest[1]) * share // (SIZE_TRIALS - 1),
        )
        for share in shares
    )


def _place(
    plan: TilePlan, size: tuple[int, int], margin: int, overlap: int, multiple: int, wanted: list[_Wanted]
) -> TilePlan:
    """The grid of `plan` with tiles of `size` steps moved around the boxes, and the further tiles that are needed."""
    rows, columns = (len(set(edges)) for edges in zip(*((t.y0, t.x0) for t in plan.tiles), strict=True))
    height, width, shared = plan.height // multiple, plan.width // multiple, -(-overlap // multiple)
    tops = starts_keeping(height, size[0], rows, shared, [one.rows for one in wanted])
    in_row: list[list[_Wanted]] = [[] for _ in tops]
    for one in wanted:
        holding = [row for row, top in enumerate(tops) if _holds(top, size[0], one.rows)]
        if holding:
            middle = sum(one.rows) - size[0]
            in_row[min(holding, key=lambda row: abs(2 * tops[row] - middle))].append(one)
    tiles: list[Tile] = []
    for row, boxes in enumerate(in_row):
        lefts = starts_keeping(width, size[1], columns, shared, [one.columns for one in boxes])
        for column in range(columns):
            (y0, y1, top, bottom), (x0, x1, left, right) = (
                [multiple * edge for edge in _span(starts, index, length)]
                for starts, index, length in ((tops, row, size[0]), (lefts, column, size[1]))
            )
            tiles.append(Tile(y0, y1, x0, x1, top, bottom, left, right))
    homeless = [one for one in wanted if _owner(tiles, one, multiple) is None]
    further = _further(homeless, height, width, size, multiple)
    tiles += further
    kept = [(one, _owner(tiles, one, multiple)) for one in wanted]
    boxes = tuple(
        KeptBox(one.box, owner, _clearance(one, owner, kept, margin))
        for one, owner in reversed(kept)  # the largest last: it lies on top
        if owner is not None
    )
    sides = (size[0] * multiple, size[1] * multiple)
    return replace(
        plan, tile_height=sides[0], tile_width=sides[1], tiles=tuple(tiles), kept=boxes, further=len(further)
    )


def _span(starts: list[int], index: int, size: int) -> tuple[int, int, int, int]:
    """(start, end, overlap before, overlap after)."""
    start, end = starts[index], starts[index] + size
    before = starts[index - 1] + size - start if index else 0
    after = end - starts[index + 1] if index + 1 < len(starts) else 0
    return start, end, before, after


def _holds(start: int, size: int, interval: Interval) -> bool:
    return start <= interval[0] and interval[1] <= start + size


def _owner(tiles: Sequence[Tile], one: _Wanted, multiple: int) -> int | None:
    """The tile that holds the box with its margin, of several the one whose middle is nearest."""
    holding = [
        index
        for index, tile in enumerate(tiles)
        if _holds(tile.y0, tile.height, (one.rows[0] * multiple, one.rows[1] * multiple))
        and _holds(tile.x0, tile.width, (one.columns[0] * multiple, one.columns[1] * multiple))
    ]
    x, y = one.box[0] + one.box[2], one.box[1] + one.box[3]
    return min(
        holding,
        key=lambda index: abs(tiles[index].x0 + tiles[index].x1 - x) + abs(tiles[index].y0 + tiles[index].y1 - y),
        default=None,
    )


def _further(
    homeless: list[_Wanted], height: int, width: int, size: tuple[int, int], multiple: int
) -> list[Tile]:
    """Tiles over the boxes that the grid does not keep, each over as many of them as it holds, nearest first."""
    tiles: list[Tile] = []
    remaining = list(homeless)
    while remaining:
        first = remaining[0]
        y, x = free_starts(height, size[0], first.rows), free_starts(width, size[1], first.columns)
        for other in sorted(remaining[1:], key=lambda one: _distance(one, first)):
            other_y, other_x = free_starts(height, size[0], other.rows), free_starts(width, size[1], other.columns)
            common_y, common_x = _common(y, other_y), _common(x, other_x)
            if common_y[0] <= common_y[1] and common_x[0] <= common_x[1]:
                y, x = common_y, common_x
        y0, x0 = sum(y) // 2, sum(x) // 2
        tile = Tile(y0 * multiple, (y0 + size[0]) * multiple, x0 * multiple, (x0 + size[1]) * multiple)
        tiles.append(tile)
        remaining = [one for one in remaining if _owner([tile], one, multiple) is None]
    return tiles


def _distance(a: _Wanted, b: _Wanted) -> int:
    return abs(sum(a.rows) - sum(b.rows)) + abs(sum(a.columns) - sum(b.columns))


def _common(a: Interval, b: Interval) -> Interval:
    return max(a[0], b[0]), min(a[1], b[1])


def _clearance(
    one: _Wanted, owner: int | None, kept: Sequence[tuple[_Wanted, int | None]], margin: int
) -> int:
    """Units over which the box may fade without touching a box of another tile; those it overlaps do not count."""
    gaps = [_gap(one.box, other.box) for other, tile in kept if tile != owner]
    return min((gap for gap in gaps if gap >= 0), default=margin)
