"""OSDFace (Wang et al. 2024): aligned faces of 512 px, one UNet LoRA, t = 399, and a prompt read off the face itself.

`pytorch_lora_weights.safetensors` holds the LoRA alone, alpha = rank (16). Beside it lie the visual dictionary
(`associate_2.ckpt`) and the projection of its entries (`embedding_change_weights.pth`). No text encoder is used.
"""

from __future__ import annotations

import torch

from ...errors import ModelFileError
from ...imaging.published import FaceSizing
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile, read_weights
from ..lora.lora_keys import parse_key, read_adapter
from ..one_step import ModelCard, Pass
from ..prediction import Epsilon
from ..prompts import CachedPrompt
from .system import Options, Parts, System
from .visual_prompt import SIDE, TOKENS, Projection, VisualDictionary, VisualPrompt

TIMESTEP = 399
PREFIX = "unet."
DICTIONARY_FILE = "associate_2.ckpt"
PROJECTION_FILE = "embedding_change_weights.pth"


def recognises(file: WeightsFile) -> bool:
    keys = [parse_key(str(name)) for name in file.content]
    return bool(keys) and all(
        key is not None and key.adapter == "" and key.path.startswith(PREFIX) for key in keys
    )


def load(file: WeightsFile, base: Base, options: Options) -> Parts:
    del options
    dictionary, projection = (_companion(file, name) for name in (DICTIONARY_FILE, PROJECTION_FILE))
    weights = dictionary.content.get("state_dict", dictionary.content)
    width = base.unet.config["cross_attention_dim"]
    observer = VisualPrompt(
        VisualDictionary(weights, dictionary.path), Projection(projection.content, width, projection.path)
    )
    adapter = read_adapter(
        file.content, base.unet, file.path, rank=None, alpha=None, dtype=base.dtype, prefix=PREFIX
    )  # alpha = rank
    return Parts(
        rule=Epsilon.at(TIMESTEP, base.betas, base.steps, double=True),
        prompt=CachedPrompt(torch.zeros(1, TOKENS, width)),  # the observer's takes its place
        passes=(Pass(1.0, (adapter,)),),
        observer=observer.eval().requires_grad_(False),
        published=FaceSizing(SIDE),
        scale=1,
        aligned_face=SIDE,
    )


def _companion(file: WeightsFile, name: str) -> WeightsFile:
    path = file.path.with_name(name)
    if not path.is_file():
        raise ModelFileError(
            f"{file.path} (LoRA tensors of a UNet, as OSDFace's) needs its companions {DICTIONARY_FILE} and "
            f"{PROJECTION_FILE} beside it: {name} is missing"
        )
    return read_weights(path)


SYSTEM = System(
    id="osdface",
    card=ModelCard(
        "OSDFace",
        "none given: its authors published no licence, so no rights are granted (base: Stable Diffusion 2.1, "
        "CreativeML Open RAIL++-M)",
        "FFHQ and FFHQR at 512 px",
        "restores aligned faces of 512 px; needs associate_2.ckpt and embedding_change_weights.pth beside the adapter; "
        "takes no prompt",
    ),
    base="Stable Diffusion 2.1-base",
    color_fix="none",
    recognises=recognises,
    load=load,
    companions=(DICTIONARY_FILE, PROJECTION_FILE),
)
