"""A network that restores aligned faces, in the place that a UNet has in `OneStepModel`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from ...errors import InputError
from ..codecs.codec import Codec
from ..codecs.pixel_autoencoder import PixelAutoencoder
from ..one_step import OneStepModel
from ..prompts import CachedPrompt
from ..record import ModelRecord

Call = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""How a network is called: it, and faces `[B,3,S,S]` in -1..1, give restored ones."""


class AlignedNetwork(nn.Module):
    """Faces `[B,3,S,S]` in -1..1, aligned to FFHQ's template, to restored ones; what else a UNet is told is ignored.

    Args:
        side: S; other sizes are refused.
        width: channels at full size, for a cautious guess of the memory.
    """

    def __init__(self, network: nn.Module, call: Call, side: int, width: int) -> None:
        super().__init__()
        self.network = network
        self._call = call
        config: Any = SimpleNamespace(in_channels=3, out_channels=3, block_out_channels=(width,), only_side=side)
        self.config = config

    def forward(self, sample: torch.Tensor, *_told: object, **_more: object) -> tuple[torch.Tensor]:
        side: int = self.config.only_side
        if sample.shape[-2:] != (side, side):
            raise InputError(
                f"this model restores aligned faces of {side}x{side} px, not pictures of {sample.shape[-1]}x"
                f"{sample.shape[-2]}: give the faces (HeadsUp Detect Faces; in Python faces=)"
            )
        return (self._call(self.network, sample),)


def aligned_model(network: AlignedNetwork, record: ModelRecord) -> OneStepModel:
    """The model of such a network: pixels are its latents, and it reads no prompt."""
    unet: Any = network.eval().requires_grad_(False)
    return OneStepModel(Codec(PixelAutoencoder()), unet, CachedPrompt(torch.zeros(1, 1, 1)), record)
