"""OSEDiff and OSEDiff-Face (Wu et al. 2024): LoRA in UNet and VAE encoder, t = 999, x0 from the predicted noise.

`osediff.pkl`: the layers of three UNet adapters and of the VAE's, their ranks, and the tensors; the whole conv_in is
trained. LoRA's alpha is never stored: PEFT's default 8. `osediff_face.pkl` has the same format and other defaults: it
keeps the size of aligned faces and fixes no colours. Nothing inside tells the two apart, only the file's name.
"""

from __future__ import annotations

from dataclasses import replace

from ...imaging.published import PillowSizing
from ...imaging.published_tiles import PublishedTiles
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile, check_finite
from ..load_options import ProcessSizeOptions
from ..lora.lora_keys import AdapterGroup, read_adapter
from ..one_step import Pass
from ..prediction import Epsilon
from ..prompts import TextUse
from ..record import TAGS_FIRST, ModelCard, ModelRecord
from .system import Beside, System

ALPHA = 8.0
UNET_LISTS = ("unet_lora_encoder_modules", "unet_lora_decoder_modules", "unet_lora_others_modules")
RECORD = ModelRecord(
    ModelCard(
        "OSEDiff",
        "Apache-2.0 (base: Stable Diffusion 2.1, CreativeML Open RAIL++-M)",
        "LSDIR and FFHQ, Real-ESRGAN degradations",
        "takes tags (published: RAM with DAPE)",
    ),
    Epsilon(999),
    base="Stable Diffusion 2.1-base",
    system="osediff",
    prompt=TextUse(tag_template=TAGS_FIRST),
    default_color_fix="adain",
    published_tiles=PublishedTiles(96, 32),
)
FACE_RECORD = replace(
    RECORD,
    card=ModelCard(
        "OSEDiff-Face",
        RECORD.card.licence,
        "FFHQ, CodeFormer degradations",
        "for aligned faces at their own size; takes tags (published: RAM with DAPE); the same format as OSEDiff, "
        "found by 'face' in the file's name or as system osediff-face",
    ),
    system="osediff-face",
    scale=1,
    default_color_fix="none",
)


def recognises(file: WeightsFile) -> bool:
    return {"state_dict_unet", "state_dict_vae", "vae_lora_encoder_modules", *UNET_LISTS} <= set(file.content)


def load(file: WeightsFile, base: Base, options: ProcessSizeOptions) -> Beside:
    return _load(RECORD, file, base, options)


def load_face(file: WeightsFile, base: Base, options: ProcessSizeOptions) -> Beside:
    return _load(FACE_RECORD, file, base, options)


def _load(record: ModelRecord, file: WeightsFile, base: Base, options: ProcessSizeOptions) -> Beside:
    content = file.content
    replaced = {}
    for kind in ("weight", "bias"):
        name = f"conv_in.base_layer.{kind}"
        if name in content["state_dict_unet"]:
            replaced[f"conv_in.{kind}"] = content["state_dict_unet"][name]
            check_finite(name, replaced[f"conv_in.{kind}"], file.path)
    group = AdapterGroup(content["rank_unet"], ALPHA, {path for key in UNET_LISTS for path in content[key]})
    unet = read_adapter(
        content["state_dict_unet"], base.unet, file.path, group, replaced=replaced, dtype=base.dtype
    )
    group = AdapterGroup(content["rank_vae"], ALPHA, content["vae_lora_encoder_modules"])
    vae = read_adapter(content["state_dict_vae"], base.vae, file.path, group, dtype=base.dtype)
    published = PillowSizing(options.process_size)
    return Beside(replace(record, published=published), (Pass(1.0, (unet,)),), encoder=(vae,))


SYSTEMS = (
    System(RECORD, recognises, load, ProcessSizeOptions),
    System(FACE_RECORD, recognises, load_face, ProcessSizeOptions, file_mark="face"),
)
