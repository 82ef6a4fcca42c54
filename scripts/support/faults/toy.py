"""A model of the real classes that computes for milliseconds and gives, but for rounding, the same in any tiles."""

from __future__ import annotations

from pathlib import Path

import torch

from headsup_core.models.building import build_model
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.prediction import LatentResidual
from headsup_core.models.record import Architecture, ModelCard, ModelRecord

TOY_ARCHITECTURE = Architecture(
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
)
"""The classes of headsup-tiny's kind with a latent of four channels, at a width that computes at once."""


def toy_model() -> OneStepModel:
    """A codec that sees a few pixels far, and a UNet whose correction is zero."""
    record = ModelRecord(ModelCard("toy", "MIT"), LatentResidual(1), TOY_ARCHITECTURE, trained_size=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(record)
    for network in model.networks:
        network.eval().requires_grad_(requires_grad=False)
    for name, values in model.unet.named_parameters():
        if name.startswith("conv_out"):
            values.zero_()
    values = dict(model.codec.vae.named_parameters())["decoder.layers.8.bias"]
    values.add_(0.9)  # in -1..1: else most of what it paints is below black, and faults could not be seen
    return model


def toy_file(folder: Path) -> Path:
    """Its file."""
    path = folder / "toy.safetensors"
    save_headsup(path, toy_model())
    return path
