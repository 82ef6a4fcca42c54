"""HeadsUp on Stable Diffusion 2.1: low-rank branches in UNet and VAE encoder, and a conv_in of nine channels.

The UNet sees latent, reference latent and face mask (HeadsUp, arXiv 2510.09924, section 3.2); x0 from the predicted
noise, as in OSEDiff. Without a reference the five further channels are what the file's `no_reference` says, mask zero.
The file is `file_formats.headsup_adapter`'s, found by its header.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ...errors import ModelFileError
from ..bases.base import Base
from ..file_formats.headsup_adapter import CONV_IN, is_headsup_adapter, read_adapter_record
from ..file_formats.weights_files import WeightsFile, check_finite
from ..load_options import NoOptions
from ..lora.lora_keys import AdapterGroup, read_adapter
from ..one_step import Pass
from ..prediction import Epsilon
from ..prompts import TextUse
from ..record import TAGS_FIRST, ModelCard, ModelRecord
from .system import Beside, System

RECORD = ModelRecord(
    ModelCard("HeadsUp on Stable Diffusion 2.1", "in the file", "in the file", "takes a reference of the face"),
    Epsilon(999),
    base="Stable Diffusion 2.1-base",
    system="headsup",
    trained_size=1024,
    prompt=TextUse(tag_template=TAGS_FIRST),
    default_color_fix="adain",
)
"""What a training starts from; a file has a record of its own."""


def load(file: WeightsFile, base: Base, options: NoOptions) -> Beside:
    del options
    record = read_adapter_record(file)
    layers = record.layers
    if layers is None:
        raise ModelFileError(f"{file.path}: the record in the header is damaged: it names no adapted layers")
    group = AdapterGroup(layers.rank, layers.alpha, layers.unet_layers, prefix="unet.")
    unet = read_adapter(
        file.content, base.unet, file.path, group, replaced=_conv_in(file, base), dtype=base.dtype
    )
    group = AdapterGroup(layers.rank, layers.alpha, layers.vae_layers, prefix="vae.")
    encoder = read_adapter(file.content, base.vae, file.path, group, dtype=base.dtype)
    return Beside(replace(record, system=RECORD.system), (Pass(1.0, (unet,)),), encoder=(encoder,))


def _conv_in(file: WeightsFile, base: Base) -> dict[str, torch.Tensor]:
    """The trained first convolution, which has inputs for latent, reference latent and mask."""
    wide = list(base.unet.get_parameter(CONV_IN[0]).shape)
    wide[1] = 2 * base.vae.config["latent_channels"] + 1
    found: dict[str, torch.Tensor] = {}
    for name, shape in ((CONV_IN[0], tuple(wide)), (CONV_IN[1], (wide[0],))):
        tensor = file.content.get(f"unet.{name}")
        if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != shape:
            what = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else "missing"
            raise ModelFileError(f"{file.path}: unet.{name} is {what}, expected {shape}")
        check_finite(f"unet.{name}", tensor, file.path)
        found[name] = tensor
    return found


SYSTEMS = (System(RECORD, is_headsup_adapter, load),)
