"""Colours below transparency: what nobody sees must not change what everybody sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F

VISIBLE = 8 / 255
"""Opacity from which a pixel's own colour counts in full; a change below it shows by at most 2 of 255."""


def fill_hidden(rgb: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """`rgb` with the colours of transparent pixels replaced by those of the visible pixels around them.

    A cut-out's hidden colours (often black or white) would otherwise bleed over its edge when it is enlarged. Visible
    colours are spread by averages over ever larger squares, weighted with the opacity (pull-push, Gortler et al.
    1996, section 3.4). The result does not depend on any colour below full transparency.

    Args:
        rgb: `[B,3,H,W]` in 0..1.
        alpha: `[B,1,H,W]` in 0..1.

    Returns:
        `[B,3,H,W]`: bit-equal to `rgb` where alpha is at least `VISIBLE`, and everywhere in a picture that is opaque or
        shows nothing at all.
    """
    trust = (alpha / VISIBLE).clamp(0, 1)
    # what a tensor of floats holds below the smallest step of 8 bits is nothing that anybody sees
    trust = torch.where(alpha < 0.5 / 255, 0.0, trust)
    if bool((trust == 1).all()):
        return rgb
    weight = torch.where(trust > 0, alpha, 0.0)
    spread = _spread(torch.where(weight > 0, rgb, 0.0) * weight, weight)
    filled = torch.where(trust == 1, rgb, torch.where(trust > 0, rgb * trust, 0.0) + spread * (1 - trust))
    empty = weight.flatten(1).sum(1) == 0
    return torch.where(empty[:, None, None, None], rgb, filled)


def _spread(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The weighted mean of the smallest squares around each pixel in which anything is seen."""
    height, width = weighted.shape[-2:]
    if max(height, width) == 1:
        return weighted / weight.clamp(min=1e-12)
    padded = [F.pad(plane, (0, width % 2, 0, height % 2)) for plane in (weighted, weight)]
    coarse = _spread(*(F.avg_pool2d(plane, 2) for plane in padded))
    beyond = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    here = weight.clamp(0, 1)
    return torch.where(here > 0, weighted / weight.clamp(min=1e-12), 0.0) * here + beyond * (1 - here)
