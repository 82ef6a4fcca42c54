"""Pictures of 8 bits, as training keeps them in memory, as tensors."""

from __future__ import annotations

import torch

from ...faces.analyzer import Pixels


def as_image(pixels: Pixels) -> torch.Tensor:
    """`[1,3,H,W]` in 0..1 of RGB `[H,W,3]`; the way back is `faces.analyzer.to_bytes`."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
