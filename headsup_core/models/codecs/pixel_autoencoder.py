"""The codec of networks that work on pixels: a picture is its own latent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


class PixelAutoencoder(nn.Module):
    """Looks like a diffusers autoencoder to `Codec`, and changes nothing: latents are pixels in -1..1, factor 1."""

    receptive_radius = (0, 0)

    def __init__(self) -> None:
        super().__init__()
        config: Any = SimpleNamespace(latent_channels=3, scaling_factor=1.0, block_out_channels=(3,))
        self.config = config

    def encode(self, image: torch.Tensor) -> Any:  # noqa: ANN401 - as diffusers' outputs
        """`latents` of a picture `[B,3,H,W]` in -1..1: the picture."""
        return SimpleNamespace(latents=image)

    def decode(self, latent: torch.Tensor) -> Any:  # noqa: ANN401
        """`sample` of latents `[B,3,H,W]`: the latents."""
        return SimpleNamespace(sample=latent)
