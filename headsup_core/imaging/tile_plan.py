"""The one tile planner, for the UNet (latent units) and the codec (pixel units).

A plan is only geometry: which overlapping rectangles of one size cover a picture. `blending` turns it into weights.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from ..errors import InputError

MAX_TILES = 250_000
"""More tiles than any real picture needs; asking for more (overlap just below the tile) would seem to hang."""


@dataclass(frozen=True)
class Tile:
    """One rectangle of a plan, rows `y0:y1` and columns `x0:x1`, in the plan's units.

    `top`, `bottom`, `left`, `right` are the units it shares with the neighbouring tile on that side; 0 at the
    picture's outer border.
    """

    y0: int
    y1: int
    x0: int
    x1: int
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    def crop(self, image: torch.Tensor) -> torch.Tensor:
        """This tile's part (a view) of `image` `[..., H, W]`."""
        return image[..., self.y0 : self.y1, self.x0 : self.x1]

    def scaled(self, factor: int) -> Tile:
        """The same place on a grid `factor` times as fine (latent to pixel units)."""
        return Tile(
            self.y0 * factor,
            self.y1 * factor,
            self.x0 * factor,
            self.x1 * factor,
            self.top * factor,
            self.bottom * factor,
            self.left * factor,
            self.right * factor,
        )


@dataclass(frozen=True)
class KeptBox:
    """A box (x0, y0, x1, y1 in the plan's units) in which one tile alone has weight.

    Attributes:
        tile: its index in the plan.
        clearance: units around the box over which that may fade out.
    """

    box: tuple[int, int, int, int]
    tile: int
    clearance: int

    def scaled(self, factor: int) -> KeptBox:
        """The same place on a grid `factor` times as fine."""
        x0, y0, x1, y1 = self.box
        return KeptBox((x0 * factor, y0 * factor, x1 * factor, y1 * factor), self.tile, self.clearance * factor)


@dataclass(frozen=True)
class TilePlan:
    """Tiles of one size, in reading order, that together cover `height` x `width` units.

    Attributes:
        kept: boxes that lie whole in one tile; where they overlap, a later one lies on top.
        further: so many tiles at the end lie over the others, and have weight in their boxes only.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    tiles: tuple[Tile, ...]
    kept: tuple[KeptBox, ...] = ()
    further: int = 0

    @property
    def work_ratio(self) -> float:
        """Processed area / picture area; 1 means no overlap is computed twice."""
        return len(self.tiles) * self.tile_height * self.tile_width / (self.height * self.width)

    def scaled(self, factor: int) -> TilePlan:
        """The same plan on a grid `factor` times as fine (latent to pixel units)."""
        return TilePlan(
            self.height * factor,
            self.width * factor,
            self.tile_height * factor,
            self.tile_width * factor,
            tuple(tile.scaled(factor) for tile in self.tiles),
            tuple(kept.scaled(factor) for kept in self.kept),
            self.further,
        )


def plan_tiles(height: int, width: int, tile: int, overlap: int, multiple: int = 1) -> TilePlan:
    """Cover `height` x `width` with the fewest overlapping tiles of one size, none larger than `tile`.

    Per axis: the fewest tiles that fit, then the smallest size that still covers with that number (so the least is
    computed twice), then positions spread evenly. An axis no longer than `tile` gets one tile of its own length.

    Args:
        height, width: size to cover; multiples of `multiple`.
        tile: largest tile side; rounded down to `multiple`.
        overlap: least overlap of neighbours, below `tile`; rounded up to `multiple`.
        multiple: every size and position is a multiple of this.

    Raises:
        InputError: a size, tile or multiple below 1, a negative overlap, overlap >= tile, a size that is no multiple,
            or more than `MAX_TILES` tiles.
    """
    for name, value in (("height", height), ("width", width), ("tile", tile), ("multiple", multiple)):
        if value < 1:
            raise InputError(f"{name} {value}: must be at least 1")
    if overlap < 0:
        raise InputError(f"overlap {overlap}: must be 0 or more")
    for name, value in (("height", height), ("width", width)):
        if value % multiple:
            padded = -(-value // multiple) * multiple
            raise InputError(f"{name} {value} is no multiple of {multiple}: pad it to {padded}")
    if tile < multiple:
        raise InputError(f"tile {tile}: must be at least {multiple}, since sizes here are multiples of that")
    step_tile, step_overlap = tile // multiple, -(-overlap // multiple)
    if step_overlap >= step_tile:
        rounded = f" ({step_tile * multiple} and {step_overlap * multiple} in steps of {multiple})" * (multiple > 1)
        raise InputError(f"tile {tile} with overlap {overlap}{rounded}: overlap must be below the tile size")

    counts = [_fewest(side // multiple, step_tile, step_overlap) for side in (height, width)]
    if counts[0] * counts[1] > MAX_TILES:
        raise InputError(
            f"tile {tile} with overlap {overlap} cuts {width}x{height} into {counts[0] * counts[1]} tiles "
            f"(at most {MAX_TILES}): use a larger tile or a smaller overlap"
        )
    rows, columns = (
        [tuple(multiple * step for step in span) for span in _spans(side // multiple, count, step_overlap)]
        for side, count in zip((height, width), counts, strict=True)
    )
    tiles = tuple(
        Tile(y0, y1, x0, x1, top, bottom, left, right)
        for (y0, y1, top, bottom), (x0, x1, left, right) in itertools.product(rows, columns)
    )
    return TilePlan(height, width, tiles[0].height, tiles[0].width, tiles)


def _fewest(length: int, tile: int, overlap: int) -> int:
    """Fewest tiles of at most `tile` that cover `length`: k tiles reach k * tile - (k - 1) * overlap."""
    return 1 if length <= tile else -(-(length - overlap) // (tile - overlap))


def _spans(length: int, count: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """(start, end, overlap before, overlap after) of `count` spans of the smallest size that covers `length`."""
    if count == 1:
        return [(0, length, 0, 0)]
    size = -(-(length + (count - 1) * overlap) // count)
    # length - size <= (count - 1) * (size - overlap), so no step exceeds size - overlap after rounding either
    starts = [index * (length - size) // (count - 1) for index in range(count)]
    shared = [0, *(before + size - after for before, after in itertools.pairwise(starts)), 0]
    return [(start, start + size, shared[i], shared[i + 1]) for i, start in enumerate(starts)]
