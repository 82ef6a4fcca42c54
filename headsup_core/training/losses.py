"""Losses as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def periodic_texture(error: torch.Tensor, period: int, windows: Sequence[int] = (3, 7)) -> torch.Tensor:
    """How much of `error` `[B,C,H,W]` repeats every `period` pixels: the fine grid that block decoders leave.

    The error's mean at each of the period^2 places of a block, over w x w neighbouring blocks, less the mean over all
    places; the mean absolute value of that, averaged over the windows w. A small window sees patterns that follow an
    edge, a large one faint patterns over a flat area, since chance averages out over more blocks. 0 for an error
    without a pattern of that period, scalar. H and W are multiples of `period`, at least `period` times the largest w.
    """
    batch, channels = error.shape[:2]
    places = F.pixel_unshuffle(error, period)
    losses: list[torch.Tensor] = []
    for window in windows:
        means = F.avg_pool2d(places, window, stride=1)
        means = means.reshape(batch, channels, period**2, *means.shape[-2:])
        losses.append((means - means.mean(dim=2, keepdim=True)).abs().mean())
    return torch.stack(losses).mean()
