"""How the published scripts cut and blend latents: tiles in fixed steps, the last at the edge, under gaussian bells.

Ours (`tile_plan`, `blending`) computes less and gives a tile's border no weight; this is for comparing with theirs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import torch

from .tile_plan import MAX_TILES, Tile, TilePlan, plan_tiles

VARIANCE = 0.01
"""The bell's, in squares of the tile's side."""


@dataclass(frozen=True)
class PublishedTiles:
    """A system's own tiles, in latents.

    Attributes:
        tile, overlap: a latent of at most tile x tile is one tile, whatever its shape.
        middle: where a bell's highest row is: "half", at n / 2 (OSEDiff, S3Diff, HYPIR; columns at (n - 1) / 2), or
            "centre", at (n - 1) / 2 (PiSA-SR).
        every_stage: whether encoder and decoder are cut in the same way (HYPIR); else they run as ours do, which is
            exact, where the scripts average the tiles' statistics.
    """

    tile: int
    overlap: int
    middle: str = "half"
    every_stage: bool = False

    def plan(self, height: int, width: int) -> TilePlan:
        """The tiles of `height` x `width` latents."""
        if height * width <= self.tile**2:
            return plan_tiles(height, width, max(height, width), 0)
        side = min(self.tile, height, width)
        rows, columns = (_starts(length, side, min(self.overlap, side - 1)) for length in (height, width))
        if len(rows) * len(columns) > MAX_TILES:
            return plan_tiles(height, width, side, self.overlap)  # which says that there are too many
        tiles = tuple(Tile(y, y + side, x, x + side) for y, x in itertools.product(rows, columns))
        return TilePlan(height, width, side, side, tiles)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    step = tile - overlap
    count = max(1, -(-(length - overlap) // step))
    return [min(index * step, length - tile) for index in range(count)]


def gaussian_weights(plan: TilePlan, index: int, middle: str) -> torch.Tensor:
    """Weights `[1,1,h,w]` of a tile of `plan`: its bell over the sum of all tiles' bells, so that they sum to one."""
    tile = plan.tiles[index]
    bell, total = _bells(plan, middle)
    if tile.height != plan.height or tile.width != plan.width:
        return (bell / tile.crop(total))[None, None].float()
    return torch.ones(1, 1, tile.height, tile.width)


@lru_cache(maxsize=4)
def _bells(plan: TilePlan, middle: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The bell of a tile `[h,w]`, and the sum of all tiles' `[H,W]`."""
    rows = _bell(plan.tile_height, plan.tile_height / 2 if middle == "half" else (plan.tile_height - 1) / 2)
    bell = torch.outer(rows, _bell(plan.tile_width, (plan.tile_width - 1) / 2))
    total = torch.zeros(plan.height, plan.width, dtype=torch.float64)
    for tile in plan.tiles:
        tile.crop(total).add_(bell)
    return bell, total


def _bell(length: int, middle: float) -> torch.Tensor:
    places = torch.arange(length, dtype=torch.float64)
    return torch.exp(-((places - middle) ** 2) / length**2 / (2 * VARIANCE))
