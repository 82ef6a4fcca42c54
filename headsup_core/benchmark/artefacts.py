"""Seams at tile borders and periodic texture, as numbers."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from ..host import Host
from ..image_files import read_picture
from ..imaging.resizing import output_size, resize
from ..models.loading import load_model
from ..restore.options import resolve_tiling
from ..restore.pipeline import restore
from ..training.people import list_pictures
from .metrics import luma
from .seams import SeamEnergy, seam_energy


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


def artefact_table(model: str, pictures: Path, host: Host) -> str:
    """Markdown: seams and periodic texture of `model` on the pictures of a folder, reduced and enlarged again by 4.

    Every picture is restored to 1024 and 2048 px, in one tile and in tiles of 512; the clean enlargement stands beside.
    """
    loaded = load_model(model, host=host)
    header = "picture | output | seams, tile 512 | of tiled - untiled | "
    header += "tiled - untiled, largest / mean | period 2 | 4 | bicubic: 2 | 4"
    lines = [f"| {header} |", "|---" * 9 + "|"]
    for path in list_pictures(pictures):
        clean = read_picture(path).rgb
        for side in (1024, 2048):
            small = resize(clean, *output_size(*clean.shape[-2:], long_edge=side // 4))
            whole = restore(small, loaded, 4, tile=8192, host=host)
            tiled = restore(small, loaded, 4, tile=512, host=host)
            difference = (whole.image - tiled.image).abs()
            tiling = resolve_tiling(loaded.one_step, host, 512, None, None)
            rule, margin = loaded.one_step.size_rule.multiple, loaded.one_step.margin
            padded = [-(-(edge + 2 * margin) // rule) * rule // tiling.factor for edge in tiled.image.shape[-2:]]
            plan = tiling.plan(*padded).scaled(tiling.factor)
            cells = [
                path.stem,
                str(side),
                _seams(seam_energy(tiled.image, plan, margin=margin)),
                _seams(seam_energy(tiled.image, plan, whole.image, margin)),
                f"{float(difference.max()):.3f} / {float(difference.mean()):.4f}",
                *(f"{periodic_energy(picture, p):.2f}" for picture in (whole.image, whole.before) for p in (2, 4)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _seams(energy: SeamEnergy) -> str:
    return f"{energy.ratio:.2f} (elsewhere {energy.low:.2f} to {energy.high:.2f})"
