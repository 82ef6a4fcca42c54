"""What becomes of the networks' picture before it is returned: colours, strength and mask."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..imaging.color import apply_color_fix
from ..imaging.resizing import resize
from .options import RestoreOptions


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
    return (before + opacity * (fixed - before)).clamp(0, 1)


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
