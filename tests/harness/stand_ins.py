"""Exact stand-ins for the networks: tiling and conditions are all that can change a picture."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headsup_core.models.codecs.codec import Codec
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.prediction import LatentResidual
from headsup_core.models.prompts import CachedPrompt
from headsup_core.models.record import ModelCard, ModelRecord
from headsup_core.restoring.headsup_model import HeadsUpModel


class ShuffleCodec(Codec):
    """A lossless codec: pixels become channels. Without networks, so tiling is all that can change a picture."""

    def __init__(self, factor: int) -> None:
        self.vae = nn.Module()
        config: Any = SimpleNamespace(block_out_channels=(8, 8))
        self.vae.config = config
        self.factor = factor
        self.channels = 3 * factor**2
        self.receptive_radius = (0, 0)

    def encode_posterior(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latent = F.pixel_unshuffle(image, self.factor)
        return latent, torch.zeros_like(latent)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(latent, self.factor)


class ConvUNet(nn.Module):
    """Looks like a UNet to the core; `layers` 3x3 convolutions (0: predicts zero, the identity restorer)."""

    def __init__(self, channels: int, layers: int, levels: int) -> None:
        super().__init__()
        widths = (8,) * levels
        config: Any = SimpleNamespace(in_channels=channels, out_channels=channels, block_out_channels=widths)
        self.config = config
        generator = torch.Generator().manual_seed(1)
        self.weights = nn.ParameterList(
            torch.randn(channels, channels, 3, 3, generator=generator) * (1 / (9 * channels)) ** 0.5
            for _ in range(max(1, layers))
        )
        self.layers = layers

    def forward(self, sample: torch.Tensor, timestep: int, **others: object) -> tuple[torch.Tensor]:
        if not self.layers:
            return (torch.zeros_like(sample),)
        for weight in self.weights:
            sample = torch.tanh(F.conv2d(sample, weight, padding=1))
        return (sample,)


@dataclass
class ModelMaker:
    """Builds handles around exact stand-ins."""

    def __call__(self, *, factor: int = 4, layers: int = 0, multiple: int = 8) -> HeadsUpModel:
        """A handle whose sizes are multiples of `multiple`, which is `factor` times a power of two."""
        codec = ShuffleCodec(factor)
        unet: Any = ConvUNet(codec.channels, layers, levels=(multiple // factor).bit_length())
        model = OneStepModel(
            codec=codec,
            unet=unet.eval().requires_grad_(False),
            prompt=CachedPrompt(torch.zeros(1, 1, 8)),
            record=ModelRecord(ModelCard("stand-in", "MIT"), LatentResidual(), trained_size=64),
        )
        return HeadsUpModel(model)
