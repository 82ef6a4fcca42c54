"""Losses as pure functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def periodic_texture(error: torch.Tensor, period: int, window: int = 5) -> torch.Tensor:
    """How much of `error` `[B,C,H,W]` repeats every `period` pixels: the fine grid that block decoders leave.

    The error's mean at each of the period^2 places of a block, over `window` x `window` neighbouring blocks, less the
    mean over all places; the mean absolute value of that. 0 for an error without a pattern of that period, scalar.
    H and W are multiples of `period`.
    """
    batch, channels = error.shape[:2]
    places = F.pixel_unshuffle(error, period)
    means = F.avg_pool2d(places, window, stride=1)
    means = means.reshape(batch, channels, period**2, *means.shape[-2:])
    return (means - means.mean(dim=2, keepdim=True)).abs().mean()
