"""Running one network over a picture tile by tile, in batches, surviving out of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from ...errors import InputError
from ...host import Host, Progress, trim_heap
from ...imaging.blending import TileAccumulator, plan_weights
from ...imaging.box_tiles import Box, plan_face_tiles
from ...imaging.published_tiles import PublishedTiles, gaussian_weights
from ...imaging.tile_plan import Tile, TilePlan

TileFunction = Callable[[torch.Tensor, Sequence[Tile]], torch.Tensor]


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut, in latent units.

    Attributes:
        tile, overlap: as for `plan_tiles`.
        multiple: tile sizes the UNet accepts.
        smallest: tiles are not halved below this.
        factor: output pixels per latent.
        batch: tiles per network call.
        keep: boxes (faces) that shall lie whole in one tile, as for `plan_face_tiles`.
        separate: the tiles are pictures of their own, laid side by side.
        published: a published system's own tiles and bells; None: ours.
        codec_way: how a codec that sees the whole picture was run, "" when there was no choice.
    """

    tile: int
    overlap: int
    multiple: int
    smallest: int
    factor: int
    batch: int = 1
    keep: tuple[Box, ...] = ()
    separate: bool = False
    published: PublishedTiles | None = None
    codec_way: str = ""

    @property
    def tile_pixels(self) -> int:
        """Tile side in output pixels."""
        return self.tile * self.factor

    @property
    def overlap_pixels(self) -> int:
        """Least overlap in output pixels."""
        return self.overlap * self.factor

    def plan(self, height: int, width: int) -> TilePlan:
        """The tiles of a picture of `height` x `width` latents; planned once, however often it is asked for."""
        if self.published is not None:
            return self.published.plan(height, width)
        return _planned(height, width, self.tile, self.overlap, self.multiple, self.keep)

    def smaller(self) -> Tiling | None:
        """What to try after out of memory: single tiles first, then half the side; None when nothing is left."""
        if self.batch > 1:
            return replace(self, batch=1)
        half = self.tile // 2 // self.multiple * self.multiple
        if half < self.smallest:
            return None
        overlap = min(self.overlap, half // 2) // self.multiple * self.multiple
        return replace(self, tile=half, overlap=overlap, published=None)


@lru_cache(maxsize=32)
def _planned(
    height: int, width: int, tile: int, overlap: int, multiple: int, keep: tuple[Box, ...]
) -> TilePlan:
    return plan_face_tiles(height, width, tile, overlap, multiple, keep)


@dataclass(frozen=True)
class Stage:
    """One network as a function on tiles.

    Attributes:
        run: tile batch `[n,C,h*in_scale,w*in_scale]` and the n tiles, in latents -> `[n,C',h*out_scale,w*out_scale]`.
        channels: C'.
        in_scale, out_scale: pixels per latent on either side (f for pictures, 1 for latents).
        radius: receptive radius in output units; None when unbounded.
    """

    name: str
    run: TileFunction
    channels: int
    in_scale: int
    out_scale: int
    radius: int | None = None


@torch.no_grad()
def run_tiled(
    stage: Stage,
    source: torch.Tensor,
    tiling: Tiling,
    host: Host,
    progress: Progress,
    on_tile: Callable[[Tile, torch.Tensor], torch.Tensor | None] | None = None,
) -> tuple[torch.Tensor, Tiling]:
    """Apply `stage` to `source` `[1,C,H,W]` (kept on the CPU) and blend the tiles.

    After out of memory the tile is halved and only what no finished tile covers is planned again.

    Args:
        on_tile: called with each finished tile (in output units) and its values; may return a preview picture.

    Returns:
        The blended output, on the CPU in fp32, and the tiling that worked.

    Raises:
        InputError: out of memory even with the smallest tile.
    """
    height, width = source.shape[-2] // stage.in_scale, source.shape[-1] // stage.in_scale
    sums = TileAccumulator(1, stage.channels, height * stage.out_scale, width * stage.out_scale)
    plan = tiling.plan(height, width)
    placed = plan.scaled(stage.out_scale)
    queue = list(range(len(plan.tiles)))
    missing: torch.Tensor | None = None
    while queue:
        host.check_cancelled()
        batch = queue[: tiling.batch]
        if host.device.type == "cpu":
            trim_heap()  # else what tile after tile leaves in pieces adds up
        try:
            outputs = _run_batch(stage, source, [plan.tiles[index] for index in batch], host.device)
        except (RuntimeError, MemoryError) as error:
            if not host.is_out_of_memory(error):
                raise
            smaller = tiling.smaller()
            if smaller is None:
                raise InputError(
                    f"out of memory in {stage.name} even with tiles of {tiling.tile_pixels} px: close other programs, "
                    f"or load the model with device cpu, which takes main memory instead"
                ) from error
            outputs = None
            tiling = smaller
        if outputs is None:  # outside of the except block, so that its traceback no longer holds the tensors
            host.release_memory()
            plan = tiling.plan(height, width)
            placed = plan.scaled(stage.out_scale)
            missing = sums.missing()  # what is finished stays as it is, faces among it
            remaining = [index for index, tile in enumerate(placed.tiles) if sums.needs(tile)]
            progress.grow(max(0, len(remaining) - len(queue)))
            queue = remaining
            continue
        for index, values in zip(batch, outputs, strict=True):
            tile = placed.tiles[index]
            if tiling.published is None:
                weights = plan_weights(placed, index, _radius(stage, tile), _fade(stage, tiling))
            else:
                weights = gaussian_weights(placed, index, tiling.published.middle)
            sums.add(tile, values[None], weights if missing is None else weights * tile.crop(missing))
            progress.advance(preview=on_tile(tile, values) if on_tile else None)
        queue = queue[len(batch) :]
    return sums.result(), tiling


def _run_batch(stage: Stage, source: torch.Tensor, tiles: list[Tile], device: torch.device) -> torch.Tensor:
    inputs = torch.cat([tile.scaled(stage.in_scale).crop(source) for tile in tiles]).to(device)
    return stage.run(inputs, tiles).float().cpu()


def _radius(stage: Stage, tile: Tile) -> int:
    """The known radius; for unbounded networks a quarter of the overlap, where zero padding weighs the most."""
    if stage.radius is not None:
        return stage.radius
    overlaps = [overlap for overlap in (tile.top, tile.bottom, tile.left, tile.right) if overlap]
    return min(overlaps, default=0) // 4


def _fade(stage: Stage, tiling: Tiling) -> int:
    """Output units over which a kept box fades out: what its margin leaves beside the radius."""
    margin = tiling.overlap * stage.out_scale // 2
    return max(0, margin - (margin // 2 if stage.radius is None else stage.radius))
