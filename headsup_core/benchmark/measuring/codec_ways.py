"""Stable Diffusion's codec as a whole, exactly over parts, and over independent tiles: time, memory, difference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ...host import Host
from ...imaging.tile_plan import Tile
from ...models.codecs.codec import Codec
from ...models.codecs.exact_parts import Parts
from ...restoring.tiling.tile_memory import PART_SIDE
from ...restoring.tiling.tiled_run import Stage, TileFunction, Tiling, run_tiled
from .fresh_processes import run_program

WAYS = ("whole", "exact", "tiles")
TILE, OVERLAP = 512, 128
"""Side and overlap of the independent tiles, in pixels."""


@torch.no_grad()
def run_codec(way: str, codec: Codec, picture: torch.Tensor, host: Host) -> torch.Tensor:
    """`picture` `[1,3,H,W]` in 0..1, encoded and decoded, around 0..1.

    Args:
        way: one of `WAYS`.
    """
    if way == "whole":
        return codec.decode(codec.encode(picture))
    if way == "exact":
        parts = Parts(PART_SIDE, host.device, host.check_cancelled)
        return codec.decode_in_parts(codec.encode_in_parts(picture, parts)[0], parts)
    f = codec.factor
    tiling = Tiling(TILE // f, OVERLAP // f, 1, TILE // f, f)
    stages: tuple[tuple[Callable[[torch.Tensor], torch.Tensor], int, int, int], ...] = (
        (codec.encode, codec.channels, f, 1),
        (codec.decode, 3, 1, f),
    )
    values = picture
    with host.progress(0) as progress:
        for run, channels, before, after in stages:
            stage = Stage("the codec", _on_tiles(run), channels, before, after, None)
            values = run_tiled(stage, values, tiling, host, progress)
    return values


def codec_table(sides: Sequence[int], odd: tuple[int, int] = (984, 1536)) -> str:
    """Markdown: the three ways at each square size and at `odd` (height, width), each in a process of its own."""
    header = "picture | way | seconds | against whole | peak MB above the weights | against whole | largest difference"
    lines = [f"| {header} |", "|---" * 7 + "|"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "decoded.pt"
        for height, width in [*((side, side) for side in sides), odd]:
            base: tuple[dict[str, float], torch.Tensor] | None = None
            for way in WAYS:
                used = run_program("measure_codec", way, str(height), str(width), str(file))
                image: torch.Tensor = torch.load(file, weights_only=True)
                base = base or (used, image)
                lines.append(
                    f"| {width}x{height} | {way} | {used['seconds']:.1f} | {used['seconds'] / base[0]['seconds']:.2f} "
                    f"| {used['bytes'] / 1e6:.0f} | {used['bytes'] / base[0]['bytes']:.2f} "
                    f"| {float((image - base[1]).abs().max()) * 255:.3f} of 255 |"
                )
    return "\n".join(lines)


def _on_tiles(run: Callable[[torch.Tensor], torch.Tensor]) -> TileFunction:
    """`run`, to which it does not matter where a tile lies."""

    def on_tiles(tiles: torch.Tensor, places: Sequence[Tile]) -> torch.Tensor:
        del places
        return run(tiles)

    return on_tiles
