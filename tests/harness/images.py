"""Pictures made by a formula."""

from __future__ import annotations

import math

import torch


def picture(height: int, width: int, *, batch: int = 1, phase: float = 0.0) -> torch.Tensor:
    """A smooth colourful picture `[B,H,W,3]` in 0.1..0.9, different for each entry of the batch and each phase."""
    y = torch.linspace(0, 2 * math.pi, height)[:, None]
    x = torch.linspace(0, 3 * math.pi, width)[None, :]
    planes = [
        torch.stack([torch.sin(x + y + shift), torch.cos(x - y + shift), torch.sin(2 * x + 0 * y + shift)], dim=-1)
        for shift in (phase + entry for entry in range(batch))
    ]
    return 0.5 + 0.4 * torch.stack(planes)
