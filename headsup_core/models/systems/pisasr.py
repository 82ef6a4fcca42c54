"""PiSA-SR (Sun et al. 2025): a pixel and a semantic LoRA, t = 1, x0 = z - prediction.

`pisa_sr.pkl`: per adapter the layers of encoder, decoder and middle, both ranks, one dictionary of tensors. The VAE and
conv_in are the base's. prediction = lambda_pix e_pix + lambda_sem (e_both - e_pix); with both 1 that is e_both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...imaging.published import PillowSizing
from ...imaging.published_tiles import PublishedTiles
from ...option_fields import option
from ..bases.base import Base
from ..file_formats.weights_files import WeightsFile
from ..load_options import ProcessSizeOptions
from ..lora.branches import Adapter
from ..lora.lora_keys import AdapterGroup, read_adapter
from ..one_step import Pass
from ..prediction import LatentResidual
from ..prompts import TextUse
from ..record import ModelCard, ModelRecord
from .system import Beside, System

ALPHA = 8.0
PARTS = ("encoder", "decoder", "others")
TWO_PASSES = "With lambda_pix and lambda_sem alike one call of the UNet is enough, else two are needed."


@dataclass(frozen=True)
class PisaSROptions(ProcessSizeOptions):
    """PiSA-SR's own dials."""

    lambda_pix: float = option(
        1.0, f"How strongly the picture's pixels are corrected. {TWO_PASSES}", minimum=0.0, maximum=3.0, step=0.05
    )
    lambda_sem: float = option(
        1.0,
        f"How much detail is drawn that the picture only hints at. {TWO_PASSES}",
        minimum=0.0,
        maximum=3.0,
        step=0.05,
    )


RECORD = ModelRecord(
    ModelCard(
        "PiSA-SR",
        "Apache-2.0 by its README (base: Stable Diffusion 2.1, CreativeML Open RAIL++-M)",
        "LSDIR and FFHQ, Real-ESRGAN degradations",
        "lambda_pix: fidelity, lambda_sem: added detail",
    ),
    LatentResidual(1),
    base="Stable Diffusion 2.1-base",
    system="pisasr",
    prompt=TextUse(),
    default_color_fix="adain",
    published_tiles=PublishedTiles(96, 32, "centre"),
)


def recognises(file: WeightsFile) -> bool:
    lists = {f"unet_lora_{part}_modules_{kind}" for part in PARTS for kind in ("pix", "sem")}
    return {"state_dict_unet", *lists} <= set(file.content)


def load(file: WeightsFile, base: Base, options: PisaSROptions) -> Beside:
    pixel, semantic = _adapter(file, base, "pix"), _adapter(file, base, "sem")
    weight_pix, weight_sem = options.lambda_pix, options.lambda_sem
    passes = (Pass(weight_sem, (pixel, semantic)), Pass(weight_pix - weight_sem, (pixel,)))
    record = replace(RECORD, published=PillowSizing(options.process_size, resize_back=True))
    return Beside(record, tuple(term for term in passes if term.weight) or passes[:1])


def _adapter(file: WeightsFile, base: Base, kind: str) -> Adapter:
    lists = [file.content[f"unet_lora_{part}_modules_{kind}"] for part in PARTS]
    group = AdapterGroup(
        file.content[f"lora_rank_unet_{kind}"],
        ALPHA,
        required={path for paths in lists for path in paths},
        adapters=lambda name: name.endswith(f"_{kind}"),
    )
    return read_adapter(file.content["state_dict_unet"], base.unet, file.path, group, dtype=base.dtype)


SYSTEMS = (System(RECORD, recognises, load, PisaSROptions),)
