"""Putting overlapping tiles together again, with weights that sum to one everywhere."""

from __future__ import annotations

import torch

from .tile_plan import Tile, TilePlan


def tile_weights(tile: Tile, radius: int, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Blending weights of one tile, `[1,1,h,w]` in 0..1.

    Across an overlap of `o` units the weight is exactly 0 for `radius` units from the tile's inner border (there the
    network saw its zero padding instead of the picture), rises linearly over `o - 2 * radius` units and is 1 beyond.
    Two neighbours' ramps lie on the same units and sum to one. At the picture's outer border the weight stays 1.

    Args:
        tile: a tile of a plan.
        radius: receptive-field radius of the network in the tile's units; per side at most `(o - 1) // 2` is used,
            so that every unit keeps a positive weight in some tile.
    """
    rows = _feather(tile.height, tile.top, tile.bottom, radius)
    columns = _feather(tile.width, tile.left, tile.right, radius)
    return (rows[:, None] * columns)[None, None].to(dtype)


def _feather(size: int, before: int, after: int, radius: int) -> torch.Tensor:
    """Weights `[size]` (float64) along one axis with `before` and `after` shared units at its two ends."""
    position = torch.arange(size, dtype=torch.float64) + 0.5
    weights = torch.ones(size, dtype=torch.float64)
    for distance, overlap in ((position, before), (size - position, after)):
        if overlap > 0:
            zero = min(max(radius, 0), (overlap - 1) // 2)
            weights = weights * ((distance - zero) / (overlap - 2 * zero)).clamp(0, 1)
    return weights


def plan_weights(plan: TilePlan, index: int, radius: int, fade: int) -> torch.Tensor:
    """Blending weights `[1,1,h,w]` in 0..1 of a plan's tile: `tile_weights`, and in kept boxes one tile alone.

    Box by box, w <- (1 - m) w, and + m for the tile that keeps the box, where m is 1 in the box and fades out around
    it. So weights that sum to one still do.

    Args:
        index: of the tile in the plan.
        radius: as for `tile_weights`.
        fade: units over which m fades; fewer where another tile's box is near.
    """
    tile = plan.tiles[index]
    if index < len(plan.tiles) - plan.further:
        weights = tile_weights(tile, radius)
    else:
        weights = torch.zeros(1, 1, tile.height, tile.width)
    for kept in plan.kept:
        x0, y0, x1, y1 = kept.box
        around = min(fade, kept.clearance)
        if x1 + around <= tile.x0 or x0 - around >= tile.x1 or y1 + around <= tile.y0 or y0 - around >= tile.y1:
            continue
        rows = _inside(tile.y0, tile.y1, y0, y1, around)
        columns = _inside(tile.x0, tile.x1, x0, x1, around)
        mask = rows[:, None] * columns
        weights = weights * (1 - mask)
        if kept.tile == index:
            weights = weights + mask
    return weights


def _inside(start: int, end: int, low: int, high: int, fade: int) -> torch.Tensor:
    """`[end - start]`: 1 for units in low..high, falling to 0 over `fade` units before and behind."""
    position = torch.arange(start, end, dtype=torch.float32) + 0.5
    outside = torch.maximum(low - position, position - high).clamp(min=0)
    return (1 - outside / fade).clamp(min=0) if fade else (outside == 0).float()


class TileAccumulator:
    """Sums weighted tiles into a picture `[batch, channels, height, width]` and normalises by the summed weights.

    Args:
        batch, channels, height, width: size of the picture, in the units of the tiles.
        dtype: of the sums (and of the result); float32 or float64.
        device: where the sums are kept.
    """

    def __init__(
        self,
        batch: int,
        channels: int,
        height: int,
        width: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self._values = torch.zeros(batch, channels, height, width, dtype=dtype, device=device)
        self._weights = torch.zeros(1, 1, height, width, dtype=dtype, device=device)

    def add(self, tile: Tile, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Add `values` `[batch, channels, h, w]` of `tile`, weighted by `weights` `[1,1,h,w]`.

        Raises:
            ValueError: `values` or `weights` do not have the size of the tile.
        """
        target, total = tile.crop(self._values), tile.crop(self._weights)
        if values.shape != target.shape or weights.shape != total.shape:
            raise ValueError(f"{tile}: values {tuple(values.shape)} and weights {tuple(weights.shape)} do not fit it")
        weights = weights.to(total)
        target += values.to(target) * weights
        total += weights

    def result(self) -> torch.Tensor:
        """The blended picture `[batch, channels, height, width]`.

        Raises:
            RuntimeError: some units were never covered.
        """
        missing = int((self._weights <= 0).sum())
        if missing:
            raise RuntimeError(f"{missing} of {self._weights.numel()} units are covered by no tile")
        return self._values / self._weights
