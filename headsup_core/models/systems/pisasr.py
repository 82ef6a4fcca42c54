"""PiSA-SR (Sun et al. 2025): a pixel and a semantic LoRA, t = 1, x0 = z - prediction.

`pisa_sr.pkl`: per adapter the layers of encoder, decoder and middle, both ranks, one dictionary of tensors. The VAE and
conv_in are the base's. prediction = lambda_pix e_pix + lambda_sem (e_both - e_pix); with both 1 that is e_both.
"""

from __future__ import annotations

from ...imaging.published import PillowSizing
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile
from ..lora.branches import Adapter
from ..lora.lora_keys import read_adapter
from ..one_step import ModelCard, Pass
from ..prediction import LatentResidual
from ..prompts import TextPrompt
from .system import Options, Parts, System, number

ALPHA = 8.0
PARTS = ("encoder", "decoder", "others")


def recognises(file: WeightsFile) -> bool:
    lists = {f"unet_lora_{part}_modules_{kind}" for part in PARTS for kind in ("pix", "sem")}
    return {"state_dict_unet", *lists} <= set(file.content)


def load(file: WeightsFile, base: Base, options: Options) -> Parts:
    pixel, semantic = _adapter(file, base, "pix"), _adapter(file, base, "sem")
    weight_pix, weight_sem = (number(options, name, -10, 10) for name in ("lambda_pix", "lambda_sem"))
    passes = (Pass(weight_sem, (pixel, semantic)), Pass(weight_pix - weight_sem, (pixel,)))
    return Parts(
        rule=LatentResidual(1),
        prompt=TextPrompt(base.text),
        passes=tuple(term for term in passes if term.weight) or passes[:1],
        published=PillowSizing(int(number(options, "process_size", 8, 8192)), resize_back=True),
    )


def _adapter(file: WeightsFile, base: Base, kind: str) -> Adapter:
    lists = [file.content[f"unet_lora_{part}_modules_{kind}"] for part in PARTS]
    return read_adapter(
        file.content["state_dict_unet"],
        base.unet,
        file.path,
        rank=file.content[f"lora_rank_unet_{kind}"],
        alpha=ALPHA,
        required={path for paths in lists for path in paths},
        adapters=lambda name: name.endswith(f"_{kind}"),
        dtype=base.dtype,
    )


SYSTEM = System(
    id="pisasr",
    card=ModelCard(
        "PiSA-SR",
        "Apache-2.0 by its README (base: Stable Diffusion 2.1, CreativeML Open RAIL++-M)",
        "LSDIR and FFHQ, Real-ESRGAN degradations",
        "lambda_pix: fidelity, lambda_sem: added detail",
    ),
    base="Stable Diffusion 2.1-base",
    color_fix="adain",
    recognises=recognises,
    load=load,
    options={"lambda_pix": 1.0, "lambda_sem": 1.0, "process_size": 512},
)
