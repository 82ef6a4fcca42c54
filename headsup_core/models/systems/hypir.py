"""HYPIR on Stable Diffusion 2.1 (Lin et al. 2025): one UNet LoRA, alpha = rank, t = 200, x0 from the predicted noise.

`HYPIR_sd2.pth` is a flat state dict of LoRA tensors only, so that the rank (256) is theirs.
"""

from __future__ import annotations

import torch

from ...imaging.published import BicubicSizing
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile
from ..lora.lora_keys import ADAPTED_SUFFIXES, parse_key, paths_by_suffix, read_adapter
from ..one_step import ModelCard, Pass
from ..prompts import TextPrompt
from .system import Options, Parts, System, epsilon_at

TIMESTEP = 200


def recognises(file: WeightsFile) -> bool:
    keys = [parse_key(str(name)) for name in file.content]
    return bool(keys) and all(key is not None and key.adapter == "default" for key in keys)


def load(file: WeightsFile, base: Base, options: Options) -> Parts:
    del options
    first = next(tensor for name, tensor in file.content.items() if ".lora_A." in str(name))
    rank = int(first.shape[0]) if isinstance(first, torch.Tensor) else None
    adapter = read_adapter(
        file.content,
        base.unet,
        file.path,
        rank=rank,
        alpha=None,  # alpha = rank
        required=paths_by_suffix(base.unet, ADAPTED_SUFFIXES),
        dtype=base.dtype,
    )
    return Parts(
        rule=epsilon_at(base, TIMESTEP),
        prompt=TextPrompt(base.text),
        passes=(Pass(1.0, (adapter,)),),
        published=BicubicSizing(),
        minimum=512,
    )


SYSTEM = System(
    id="hypir",
    card=ModelCard(
        "HYPIR",
        "HYPIR licence: NON-COMMERCIAL use only, code and weights (base: Stable Diffusion 2.1, Open RAIL++-M)",
        "not listed in its release",
        "reads a prompt that describes the picture",
    ),
    base="Stable Diffusion 2.1-base",
    color_fix="wavelet",
    recognises=recognises,
    load=load,
)
