"""HeadsUp on Stable Diffusion 2.1: low-rank branches in UNet and VAE encoder, and a conv_in of nine channels.

The UNet sees latent, reference latent and face mask (HeadsUp, arXiv 2510.09924, section 3.2); x0 from the predicted
noise, as in OSEDiff. Without a reference the five further channels are what the file's `no_reference` says, mask zero.
The file is `models.file_formats.headsup_adapter`'s, found by its header.
"""

from __future__ import annotations

import torch

from ...errors import ModelFileError
from ..bases.base import Base
from ..file_formats.headsup_adapter import CONV_IN, AdapterRecord, is_headsup_adapter, read_record
from ..file_formats.weights_files import WeightsFile, check_finite, load_network
from ..id_tokens import PREFIX as ID_TOKENS
from ..id_tokens import IdTokens
from ..lora.lora_keys import read_adapter
from ..one_step import ModelCard, Pass
from ..prompts import TextPrompt
from .system import Options, Parts, System, epsilon_at


def load(file: WeightsFile, base: Base, options: Options) -> Parts:
    del options
    record = read_record(file)
    unet = read_adapter(
        file.content, base.unet, file.path, rank=record.rank, alpha=record.alpha, required=record.unet_layers,
        replaced=_conv_in(file, base), dtype=base.dtype, prefix="unet.",
    )  # fmt: skip
    encoder = read_adapter(
        file.content, base.vae, file.path, rank=record.rank, alpha=record.alpha, required=record.vae_layers,
        dtype=base.dtype, prefix="vae.",
    )  # fmt: skip
    return Parts(
        rule=epsilon_at(base, record.timestep),
        prompt=TextPrompt(base.text, default=record.prompt, tag_template="{tags}, {text},"),
        passes=(Pass(1.0, (unet,)),),
        encoder=(encoder,),
        published=None,
        scale=record.scale,
        card=record.card,
        base=record.base,
        color_fix=record.default_color_fix,
        trained_size=record.trained_size,
        no_reference=record.no_reference,
        reference_placement=record.reference_placement,
        trained_eyes=record.trained_eyes,
        id_tokens=_id_tokens(file, base, record),
    )


def _id_tokens(file: WeightsFile, base: Base, record: AdapterRecord) -> IdTokens | None:
    if record.id_tokens is None:
        return None
    with torch.device("meta"):
        injector = IdTokens.beside(base.unet, record.id_tokens)
    names = [name for name in file.content if name.startswith(ID_TOKENS)]
    found = {name.removeprefix(ID_TOKENS): file.content[name] for name in names}
    load_network(injector, found, base.dtype, file.path, prefix=ID_TOKENS)
    return injector


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


SYSTEM = System(
    id="headsup",
    card=ModelCard("HeadsUp on Stable Diffusion 2.1", "in the file", "in the file", "takes a reference of the face"),
    base="Stable Diffusion 2.1-base",
    color_fix="adain",
    recognises=is_headsup_adapter,
    load=load,
)
