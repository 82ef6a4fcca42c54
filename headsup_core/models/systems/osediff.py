"""OSEDiff and OSEDiff-Face (Wu et al. 2024): LoRA in UNet and VAE encoder, t = 999, x0 from the predicted noise.

`osediff.pkl`: the layers of three UNet adapters and of the VAE's, their ranks, and the tensors; the whole conv_in is
trained. LoRA's alpha is never stored: PEFT's default 8. `osediff_face.pkl` has the same format and other defaults: it
keeps the size of aligned faces and fixes no colours. Nothing inside tells the two apart, only the file's name.
"""

from __future__ import annotations

from dataclasses import replace

from ...imaging.published import PillowSizing
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile, check_finite
from ..lora.lora_keys import read_adapter
from ..one_step import ModelCard, Pass
from ..prompts import TextPrompt
from .system import Options, Parts, System, epsilon_at, number

TIMESTEP = 999
ALPHA = 8.0
UNET_LISTS = ("unet_lora_encoder_modules", "unet_lora_decoder_modules", "unet_lora_others_modules")


def recognises(file: WeightsFile) -> bool:
    return {"state_dict_unet", "state_dict_vae", "vae_lora_encoder_modules", *UNET_LISTS} <= set(file.content)


def load(file: WeightsFile, base: Base, options: Options) -> Parts:
    content = file.content
    replaced = {}
    for kind in ("weight", "bias"):
        name = f"conv_in.base_layer.{kind}"
        if name in content["state_dict_unet"]:
            replaced[f"conv_in.{kind}"] = content["state_dict_unet"][name]
            check_finite(name, replaced[f"conv_in.{kind}"], file.path)
    unet = read_adapter(
        content["state_dict_unet"],
        base.unet,
        file.path,
        rank=content["rank_unet"],
        alpha=ALPHA,
        required={path for key in UNET_LISTS for path in content[key]},
        replaced=replaced,
        dtype=base.dtype,
    )
    vae = read_adapter(
        content["state_dict_vae"],
        base.vae,
        file.path,
        rank=content["rank_vae"],
        alpha=ALPHA,
        required=content["vae_lora_encoder_modules"],
        dtype=base.dtype,
    )
    return Parts(
        rule=epsilon_at(base, TIMESTEP),
        prompt=TextPrompt(base.text, tag_template="{tags}, {text},"),
        passes=(Pass(1.0, (unet,)),),
        encoder=(vae,),
        published=PillowSizing(int(number(options, "process_size", 8, 8192))),
    )


def load_face(file: WeightsFile, base: Base, options: Options) -> Parts:
    return replace(load(file, base, options), scale=1)


SYSTEM = System(
    id="osediff",
    card=ModelCard(
        "OSEDiff",
        "Apache-2.0 (base: Stable Diffusion 2.1, CreativeML Open RAIL++-M)",
        "LSDIR and FFHQ, Real-ESRGAN degradations",
        "takes tags (published: RAM with DAPE)",
    ),
    base="Stable Diffusion 2.1-base",
    color_fix="adain",
    recognises=recognises,
    load=load,
    options={"process_size": 512},
)
FACE_SYSTEM = replace(
    SYSTEM,
    id="osediff-face",
    card=ModelCard(
        "OSEDiff-Face",
        SYSTEM.card.licence,
        "FFHQ, CodeFormer degradations",
        "for aligned faces at their own size; takes tags (published: RAM with DAPE); the same format as OSEDiff, "
        "found by 'face' in the file's name or as system osediff-face",
    ),
    color_fix="none",
    load=load_face,
    file_mark="face",
)
