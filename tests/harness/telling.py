"""Models with references that lay open what they were told, and count what they encode."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from harness.records import with_record
from headsup_core.models.record import ReferencePlacement
from headsup_core.restoring.headsup_model import HeadsUpModel

from .stand_ins import ModelMaker, ShuffleCodec

FACTOR = 4
CHANNELS = 3 * FACTOR**2


class Telling(nn.Module):
    """A UNet that lays open what it was given: predicts minus the reference, or minus the mask."""

    def __init__(self, what: str) -> None:
        super().__init__()
        config: Any = SimpleNamespace(in_channels=2 * CHANNELS + 1, out_channels=CHANNELS, block_out_channels=(8, 8))
        self.config, self.what, self.calls = config, what, 0
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, sample: torch.Tensor, timestep: int, **_: object) -> tuple[torch.Tensor]:
        self.calls += len(sample)
        reference, mask = sample[:, CHANNELS : 2 * CHANNELS], sample[:, 2 * CHANNELS :]
        return (-(reference if self.what == "reference" else mask.expand_as(reference)),)


class CountingCodec(ShuffleCodec):
    """Counts the pictures that it encodes."""

    def __init__(self) -> None:
        super().__init__(FACTOR)
        self.sizes: list[tuple[int, int]] = []

    def encode_posterior(self, image: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.sizes.append((image.shape[-2], image.shape[-1]))
        return super().encode_posterior(image)


def telling(make_model: ModelMaker, what: str, placement: ReferencePlacement = "warped", **fields: Any) -> HeadsUpModel:
    unet: Any = Telling(what)
    plain = make_model(factor=FACTOR).one_step
    made = replace(plain, codec=CountingCodec(), unet=unet)
    return HeadsUpModel(with_record(made, reference_placement=placement, **fields), identity_strength=1.0)
