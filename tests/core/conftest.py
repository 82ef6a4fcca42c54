"""Small models for the core's tests: the real classes at toy width, and exact stand-ins for the networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.systems import WordStates, tiny_networks
from torch import nn

from headsup_core.models.architecture import Architecture
from headsup_core.models.base import Base
from headsup_core.models.codec import Codec
from headsup_core.models.one_step import HeadsUpModel, ModelCard, OneStepModel, SizeRule
from headsup_core.models.prediction import LatentResidual
from headsup_core.models.prompts import CachedPrompt

torch.set_num_threads(1)  # toy networks: threads cost more than they give


@pytest.fixture(scope="session")
def architecture() -> Architecture:
    return Architecture(
        codec_class="AutoencoderTiny",
        codec={
            "encoder_block_out_channels": [8, 8, 8],
            "decoder_block_out_channels": [8, 8, 8],
            "num_encoder_blocks": [0, 1, 1],
            "num_decoder_blocks": [1, 1, 0],
            "latent_channels": 4,
        },
        unet={
            "in_channels": 9,
            "out_channels": 4,
            "block_out_channels": [8, 16],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
            "norm_num_groups": 4,
            "cross_attention_dim": 8,
            "attention_head_dim": 2,
            "only_cross_attention": True,
            "use_linear_projection": True,
        },
        rule={"kind": "latent_residual", "timestep": 1},
        trained_size=32,
        card=ModelCard("toy", "MIT", "none", "for tests"),
    )


@pytest.fixture
def toy_model(architecture: Architecture) -> OneStepModel:
    """The real classes with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = architecture.build()
    for network in model.networks:
        network.eval().requires_grad_(False)
    return model


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

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        config: Any = SimpleNamespace(in_channels=channels, out_channels=channels, block_out_channels=(8, 8))
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
        codec = ShuffleCodec(factor)
        unet: Any = ConvUNet(codec.channels, layers)
        model = OneStepModel(
            codec=codec,
            unet=unet.eval().requires_grad_(False),
            rule=LatentResidual(),
            prompt=CachedPrompt(torch.zeros(1, 1, 8)),
            size_rule=SizeRule(multiple, multiple),
            scale=4,
            trained_size=64,
            default_color_fix="none",
            card=ModelCard("stand-in", "MIT"),
            unet_radius=layers,
        )
        return HeadsUpModel(model)


@pytest.fixture(scope="session")
def make_model() -> ModelMaker:
    return ModelMaker()


@pytest.fixture(scope="session")
def tiny_base() -> tuple[Any, Any]:
    """UNet and VAE of Stable Diffusion's structure; nobody changes them."""
    return tiny_networks()


@pytest.fixture
def base(tiny_base: tuple[Any, Any]) -> Base:
    """A base whose text encoder is a formula."""
    return Base(Path("tiny"), *tiny_base, WordStates())


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """squeezenet1_1 with random weights: the code path of the real file."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path
