"""OSDFace (Wang et al. 2024): aligned faces of 512 px, one UNet LoRA, t = 399, and a prompt read off the face itself.

`pytorch_lora_weights.safetensors` holds the LoRA alone, alpha = rank (16). Beside it lie the visual dictionary
(`associate_2.ckpt`) and the projection of its entries (`embedding_change_weights.pth`). No text encoder is used.
"""

from __future__ import annotations

import os

import torch

from ...errors import ModelFileError
from ...imaging.published import FaceSizing
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile, read_weights
from ..load_options import NoOptions
from ..lora.lora_keys import AdapterGroup, parse_key, read_adapter
from ..one_step import Pass
from ..prediction import Epsilon
from ..prompts import CachedPrompt
from ..record import ModelCard, ModelRecord
from .system import Beside, System
from .visual_prompt import SIDE, TOKENS, Projection, VisualDictionary, VisualPrompt

PREFIX = "unet."
DICTIONARY_FILE = "associate_2.ckpt"
PROJECTION_FILE = "embedding_change_weights.pth"
RECORD = ModelRecord(
    ModelCard(
        "OSDFace",
        "none given: its authors published no licence, so no rights are granted (base: Stable Diffusion 2.1, "
        "CreativeML Open RAIL++-M)",
        "FFHQ and FFHQR at 512 px",
        "restores aligned faces of 512 px; needs associate_2.ckpt and embedding_change_weights.pth beside the adapter; "
        "takes no prompt",
    ),
    Epsilon(399, double=True),
    base="Stable Diffusion 2.1-base",
    system="osdface",
    scale=1,
    aligned_face=SIDE,
    published=FaceSizing(SIDE),
)
"""The switches of its script (cat_prompt_embedding, use_pos_embedding, use_att_pool) are for weights that nobody has
published, so that it has no options here."""


def recognises(file: WeightsFile) -> bool:
    keys = [parse_key(str(name)) for name in file.content]
    return bool(keys) and all(
        key is not None and key.adapter == "" and key.path.startswith(PREFIX) for key in keys
    )


def load(file: WeightsFile, base: Base, options: NoOptions) -> Beside:
    del options
    dictionary, projection = (_companion(file, name) for name in (DICTIONARY_FILE, PROJECTION_FILE))
    weights = dictionary.content.get("state_dict", dictionary.content)
    width = base.unet.config["cross_attention_dim"]
    observer = VisualPrompt(
        VisualDictionary(weights, dictionary.path), Projection(projection.content, width, projection.path)
    )
    group = AdapterGroup(prefix=PREFIX)  # alpha = rank
    adapter = read_adapter(file.content, base.unet, file.path, group, dtype=base.dtype)
    return Beside(
        RECORD,
        (Pass(1.0, (adapter,)),),
        observer=observer.eval().requires_grad_(False),
        prompt=CachedPrompt(torch.zeros(1, TOKENS, width)),  # the observer's takes its place
    )


def _companion(file: WeightsFile, name: str) -> WeightsFile:
    path = file.path.with_name(name)
    if not os.path.isfile(path):
        raise ModelFileError(
            f"{file.path} (LoRA tensors of a UNet, as OSDFace's) needs its companions {DICTIONARY_FILE} and "
            f"{PROJECTION_FILE} beside it: {name} is missing"
        )
    return read_weights(path)


SYSTEMS = (System(RECORD, recognises, load, companions=(DICTIONARY_FILE, PROJECTION_FILE)),)
