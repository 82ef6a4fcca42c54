"""What becomes of the networks' picture before it is returned: colours, grain, strength and mask."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..imaging.color import apply_color_fix
from ..imaging.resizing import resize
from ..imaging.tints.chroma import luma_of
from .options import SEEDS, RestoreOptions

GRAIN = 0.12
"""Deviation of the strongest grain in middle grey, of 0..1."""
GRAIN_SIDE = 2048
"""Longer side in pixels of the picture that grain is drawn for; smaller ones have it pixel by pixel."""


def finished(
    restored: torch.Tensor, before: torch.Tensor, options: RestoreOptions, opacity: float | torch.Tensor
) -> torch.Tensor:
    """before + opacity * (restored - before), with the colours taken back first: `[B,3,H,W]` in 0..1.

    Args:
        before: the plain enlargement, of the size of `restored`.
        options: with every choice made, as `Resolved.filled_in` gives them.
        opacity: from `opacity_of`.
    """
    fixed = apply_color_fix(restored, before, options.color_fix or "none")
    if options.grain:
        for index, picture in enumerate(fixed.split(1)):
            picture += film_grain(picture, options.grain, (options.seed + index) % SEEDS)
    return (before + opacity * (fixed - before)).clamp(0, 1)


def film_grain(picture: torch.Tensor, amount: float, seed: int) -> torch.Tensor:
    """What grain adds to `picture` `[1,3,H,W]` in 0..1: `[1,1,H,W]`, the same for each colour, as in a silver print.

    Its deviation is `amount` * `GRAIN` where the picture is middle grey and falls to 0 at black and white, as
    4 y (1 - y) of the luminance y. It is drawn for a picture of `GRAIN_SIDE` pixels and enlarged to a larger one, so
    that prints of one size show the same grain.
    """
    height, width = picture.shape[-2:]
    coarse = max(1.0, max(height, width) / GRAIN_SIDE)
    size = max(1, round(height / coarse)), max(1, round(width / coarse))
    noise = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(seed))
    if size != (height, width):
        noise = resize(noise, height, width)
        noise = noise / noise.std().clamp(min=1e-6)  # between the drawn points an enlargement is flatter
    light = luma_of(picture).clamp(0, 1)
    return amount * GRAIN * 4 * light * (1 - light) * noise


def opacity_of(options: RestoreOptions, before: torch.Tensor) -> float | torch.Tensor:
    """Strength * mask at the size of `before` `[B,3,H,W]`: how much of the restoration is seen where.

    Raises:
        InputError: the mask does not fit the batch.
    """
    mask, (height, width) = options.mask, before.shape[-2:]
    if mask is None:
        return options.strength
    if mask.ndim != 4 or mask.shape[1] != 1 or len(mask) not in (1, len(before)):
        raise InputError(f"mask {tuple(mask.shape)}: expected [1 or {len(before)}, 1, height, width]")
    return options.strength * resize(mask.float().cpu().clamp(0, 1), height, width, "bicubic")
