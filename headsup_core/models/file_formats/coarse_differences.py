"""Differences between the weights of two trainings in one byte a number, since they are small beside the weights.

The difference of a tensor `[C,…]` is rounded to whole multiples, -127 to 127, of a step of each output channel: the
largest of the channel's differences / 127. So no weight is off by more than half a step of its channel. A tensor `[C]`
has one step.
"""

from __future__ import annotations

import torch

LEVELS = 127


def coarse(difference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers of the tensor's shape (int8) and the steps (fp32, of `steps_shape`).

    Args:
        difference: floating point, of one dimension or more.
    """
    steps = difference.float().reshape(*steps_shape(difference), -1).abs().amax(1) / LEVELS
    whole = (difference.float() / _beside(steps, difference).clamp(min=torch.finfo(torch.float32).tiny)).round()
    return whole.clamp(-LEVELS, LEVELS).to(torch.int8), steps


def steps_shape(tensor: torch.Tensor) -> torch.Size:
    """`[C]`, or `[1]` of a tensor of one dimension."""
    return tensor.shape[:1] if tensor.ndim > 1 else torch.Size([1])


def fine(whole: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """The difference in fp32 that `coarse` was given, to half a step."""
    return whole.float() * _beside(steps.float(), whole)


def _beside(steps: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return steps.view(-1, *[1] * (tensor.ndim - 1))
