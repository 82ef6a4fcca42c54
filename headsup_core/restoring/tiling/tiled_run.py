"""Running one network over a picture tile by tile, in batches; out of memory is told with what to try next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from ...errors import HeadsUpError, InputError
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
        within: the tiles are pictures of their own, laid side by side, parts of one that is cut like this; else None.
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
    within: Tiling | None = None
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
        """What to try after out of memory: single tiles first, then half the side; None when nothing is left.

        Of pictures side by side, which must stay whole, it is what to try for the one that they are parts of.
        """
        if self.within is not None:
            return self.within.smaller()
        if self.batch > 1:
            return replace(self, batch=1)
        half = self.tile // 2 // self.multiple * self.multiple
        if half < self.smallest:
            return None
        overlap = min(self.overlap, half // 2) // self.multiple * self.multiple
        published = None if self.published is None else replace(self.published, tile=half, overlap=overlap)
        return replace(self, tile=half, overlap=overlap, published=published)


class BeginAgainError(HeadsUpError):
    """Memory ran out: what is restored has to begin again with `tiling`, or would be of two looks."""

    def __init__(self, part: str, tiling: Tiling) -> None:
        next_try = f"tiles of {tiling.tile_pixels} px, {tiling.batch} at a time"
        super().__init__(f"out of memory in {part}: it may do with {next_try}")
        self.tiling = tiling


@lru_cache(maxsize=32)
def _planned(height: int, width: int, tile: int, overlap: int, multiple: int, keep: tuple[Box, ...]) -> TilePlan:
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
) -> torch.Tensor:
    """Apply `stage` to `source` `[1,C,H,W]` (kept on the CPU) and blend the tiles.

    Args:
        on_tile: called with each finished tile (in output units) and its values; may return a preview picture.

    Returns:
        The blended output, on the CPU in fp32.

    Raises:
        BeginAgainError: out of memory, and there are smaller tiles, or fewer at a time.
        InputError: out of memory even with the smallest tile.
    """
    height, width = source.shape[-2] // stage.in_scale, source.shape[-1] // stage.in_scale
    sums = TileAccumulator(1, stage.channels, height * stage.out_scale, width * stage.out_scale)
    plan = tiling.plan(height, width)
    placed = plan.scaled(stage.out_scale)
    for first in range(0, len(plan.tiles), tiling.batch):
        host.check_cancelled()
        batch = range(first, min(first + tiling.batch, len(plan.tiles)))
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
            raise BeginAgainError(stage.name, smaller) from error
        for index, values in zip(batch, outputs, strict=True):
            tile = placed.tiles[index]
            if tiling.published is None:
                weights = plan_weights(placed, index, _radius(stage, tile), _fade(stage, tiling))
            else:
                weights = gaussian_weights(placed, index, tiling.published.middle)
            sums.add(tile, values[None], weights)
            progress.advance(preview=on_tile(tile, values) if on_tile else None)
    return sums.result()


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
