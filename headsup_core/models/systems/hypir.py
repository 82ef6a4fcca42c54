"""HYPIR on Stable Diffusion 2.1 (Lin et al. 2025): one UNet LoRA, alpha = rank, t = 200, x0 from the predicted noise.

`HYPIR_sd2.pth` is a flat state dict of LoRA tensors only, so that the rank (256) is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...imaging.published import BicubicSizing
from ...imaging.published_tiles import PublishedTiles
from ...option_fields import option
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile
from ..lora.lora_keys import ADAPTED_SUFFIXES, AdapterGroup, parse_key, paths_by_suffix, read_adapter
from ..one_step import Pass
from ..prediction import Epsilon
from ..prompts import TextUse
from ..record import ModelCard, ModelRecord
from .system import Beside, System


@dataclass(frozen=True)
class HypirOptions:
    """What HYPIR's script has on its command line."""

    patch_size: int = option(
        512,
        "The shortest side that the network sees. A smaller picture is continued to it and cut back, or, with "
        "published sizing, enlarged to it and reduced again.",
        minimum=64,
        maximum=2048,
        step=64,
        unit="px",
        advanced=True,
    )


RECORD = ModelRecord(
    ModelCard(
        "HYPIR",
        "HYPIR licence: NON-COMMERCIAL use only, code and weights (base: Stable Diffusion 2.1, Open RAIL++-M)",
        "not listed in its release",
        "reads a prompt that describes the picture",
    ),
    Epsilon(200),
    base="Stable Diffusion 2.1-base",
    system="hypir",
    prompt=TextUse(),
    default_color_fix="wavelet",
)


def recognises(file: WeightsFile) -> bool:
    keys = [parse_key(str(name)) for name in file.content]
    return bool(keys) and all(key is not None and key.adapter == "default" for key in keys)


def load(file: WeightsFile, base: Base, options: HypirOptions) -> Beside:
    first = next(tensor for name, tensor in file.content.items() if ".lora_A." in str(name))
    rank = int(first.shape[0]) if isinstance(first, torch.Tensor) else None
    group = AdapterGroup(rank, required=paths_by_suffix(base.unet, ADAPTED_SUFFIXES))  # alpha = rank
    adapter = read_adapter(file.content, base.unet, file.path, group, dtype=base.dtype)
    side = options.patch_size
    tiles = PublishedTiles(side // 8, max(1, side // 16), every_stage=True)  # a stride of half a patch
    record = replace(RECORD, minimum_side=side, published=BicubicSizing(side), published_tiles=tiles)
    return Beside(record, (Pass(1.0, (adapter,)),))


SYSTEMS = (System(RECORD, recognises, load, HypirOptions),)
