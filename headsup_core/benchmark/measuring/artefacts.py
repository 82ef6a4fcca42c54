"""Seams at tile borders and periodic texture, as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from ...host import Host
from ...image_files import read_picture
from ...imaging.resizing import output_size, resize
from ...imaging.tile_plan import TilePlan
from ...models.one_step import OneStepModel
from ...restoring.options import RestoreOptions
from ...restoring.pipeline import restore
from ...restoring.resolving import resolve_tiling
from ...restoring.tiling.tile_memory import Room
from ...training.data.people_by_name import list_pictures
from ..metrics.metric import luma
from .random_model import load_measured
from .seams import seam_energy

Size = tuple[int | None, int]


def periodic_energy(image: torch.Tensor, period: int) -> float:
    """Share of a texture of `period` pixels in `[1,3,H,W]` (checkerboards): 1 = as much as at neighbouring frequencies.

    Power of the luma's spectrum on the lines of frequency k / period, along either axis, divided by the power two to
    six lines beside them. Only k that have no divisor in common with the period: the others are frequencies of a
    shorter period, whose texture would count for this one as well.
    """
    y = luma(image)[0, 0].double()
    side = min(y.shape) // (4 * period) * 4 * period
    if side < 16 * period:
        raise ValueError(f"a picture of {tuple(y.shape)} is too small for period {period}: {16 * period} px are needed")
    y = y[:side, :side] - y[:side, :side].mean()
    window = torch.hann_window(side, periodic=True, dtype=torch.float64)
    power = torch.fft.fft2(y * window[:, None] * window).abs() ** 2
    ratios: list[torch.Tensor] = []
    for lines in (power.mean(dim=1), power.mean(dim=0)):
        for harmonic in range(1, period // 2 + 1):
            if math.gcd(harmonic, period) > 1:
                continue
            at = harmonic * side // period
            beside = [lines[(at + offset) % side] for step in range(2, 7) for offset in (-step, step)]
            ratios.append(lines[at] / torch.stack(beside).mean())
    return float(torch.stack(ratios).max())


def artefact_table(model: str, pictures: Path, host: Host, sizes: Sequence[Size]) -> str:
    """Markdown: seams and periodic texture of `model` on the pictures of a folder, reduced and enlarged again by 4.

    Every picture is restored to each size, in one tile and in tiles of 512; the clean enlargement stands beside. Where
    a size has two sides, the picture's middle is cut to its shape.

    Args:
        model: as for `load_measured`.
        sizes: (height, width) in pixels, or None in place of a height to keep the picture's shape.
    """
    loaded = load_measured(model, host)
    header = "picture | output | seams, tile 512 | same places, untiled | tiled / untiled | of tiled - untiled | "
    header += "tiled - untiled, largest / mean | period 2 | 4 | bicubic: 2 | 4"
    lines = [f"| {header} |", "|---" * 11 + "|"]
    for path in list_pictures(pictures):
        clean = read_picture(path).rgb
        for height, width in sizes:
            shown = clean if height is None else _middle(clean, height / width)
            size = output_size(*shown.shape[-2:], long_edge=width) if height is None else (height, width)
            enlarged = resize(resize(shown, -(-size[0] // 4), -(-size[1] // 4)), *size)
            whole = restore(enlarged, loaded, scale=1, tile=8192, host=host)
            tiled = restore(enlarged, loaded, scale=1, tile=512, host=host)
            difference = whole.image - tiled.image
            plan, margin = _plan(loaded.one_step, tiled.image, host)
            cells = [
                path.stem,
                f"{tiled.image.shape[-1]}x{tiled.image.shape[-2]}",
                *map(str, (
                    seam_energy(tiled.image, plan, margin=margin),
                    seam_energy(whole.image, plan, margin=margin),
                    seam_energy(tiled.image, plan, whole.image, margin),
                    seam_energy(difference, plan, margin=margin),
                )),
                f"{float(difference.abs().max()):.3f} / {float(difference.abs().mean()):.4f}",
                *(f"{periodic_energy(picture, p):.2f}" for picture in (whole.image, whole.before) for p in (2, 4)),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plan(model: OneStepModel, image: torch.Tensor, host: Host) -> tuple[TilePlan, int]:
    """The tiles of 512 px that `image` was made of, in pixels of the picture with its margin, and that."""
    tiling = resolve_tiling(model, RestoreOptions(tile=512), Room.of(host))
    rule, margin = model.size_rule, model.margin
    padded = [-(-max(side + 2 * margin, rule.minimum) // rule.multiple) * rule.multiple for side in image.shape[-2:]]
    return tiling.plan(*(side // tiling.factor for side in padded)).scaled(tiling.factor), margin


def _middle(image: torch.Tensor, aspect: float) -> torch.Tensor:
    """The largest part in the middle of `image` `[1,3,H,W]` whose height / width is `aspect`."""
    height, width = image.shape[-2:]
    tall, wide = min(height, round(width * aspect)), min(width, round(height / aspect))
    y, x = (height - tall) // 2, (width - wide) // 2
    return image[..., y : y + tall, x : x + wide]
