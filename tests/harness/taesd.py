"""TAESD's decoder with random weights, and a base for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderKL

from headsup_core.models.bases.base import Base

from .systems import VAE

BLOCKS = (3, 3, 3, 1)


def taesd_tensors() -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file, a list of 20 layers of which the first is a clamp."""
    random = torch.Generator().manual_seed(1)
    tensors: dict[str, torch.Tensor] = {}

    def layer(name: str, out: int, into: int, *, bias: bool = True) -> None:
        tensors[f"{name}.weight"] = torch.randn(out, into, 3, 3, generator=random) / (9 * into) ** 0.5
        if bias:
            tensors[f"{name}.bias"] = torch.randn(out, generator=random) * 0.1

    layer("1", 64, 4)
    number = 3
    for level, count in enumerate(BLOCKS):
        for _ in range(count):
            for convolution in (0, 2, 4):
                layer(f"{number}.conv.{convolution}", 64, 64)
            number += 1
        last = level == len(BLOCKS) - 1
        number += not last  # the enlargement
        layer(str(number), 3 if last else 64, 64, bias=last)
        number += 1
    assert number == 20
    return tensors


def with_eighth_vae(base: Base) -> Base:
    """The tiny base with a VAE of Stable Diffusion's depth."""
    four = {"block_out_channels": [32] * 4, "down_block_types": VAE["down_block_types"] * 2}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        vae: Any = AutoencoderKL.from_config({**VAE, **four, "up_block_types": VAE["up_block_types"] * 2})
    return replace(base, vae=vae.eval().requires_grad_(False))
