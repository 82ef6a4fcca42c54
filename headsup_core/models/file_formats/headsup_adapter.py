"""HeadsUp's adapter file: one `.safetensors` beside a Stable Diffusion 2.1-base, tensors and, in its header, the rest.

Tensors: `unet.LAYER.lora_A.weight` and `.lora_B.weight`, the same with `vae.` (encoder only), and the whole trained
`unet.conv_in.weight` `[w,9,3,3]` (latent, reference latent, face mask) and `unet.conv_in.bias`; perhaps `id_tokens.…`.
Header metadata (strings): `format` = "headsup-adapter"; `format_version`; `record` = JSON of `AdapterRecord`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch

from ...errors import ModelFileError
from ..id_tokens import PREFIX as ID_TOKENS
from ..id_tokens import IdTokenRecord, IdTokens
from ..lora.branches import Adapter
from ..one_step import ModelCard, NoReference, ReferencePlacement, eye_range
from .weights_files import WeightsFile, check_version, write_safetensors

FORMAT = "headsup-adapter"
FORMAT_VERSION = 1
CONV_IN = ("conv_in.weight", "conv_in.bias")


@dataclass(frozen=True)
class AdapterRecord:
    """Everything but the weights; JSON-serialisable by `to_json`.

    Attributes:
        unet_layers, vae_layers: paths of the layers that have a low-rank branch.
        rank, alpha: of all branches; their scale is alpha / rank.
        timestep: t of the one step; x0 = (z - sqrt(1 - abar) eps) / sqrt(abar) on the base's schedule.
        base: what it was trained beside, for people: shapes cannot tell 2.1-base from SD-Turbo.
        prompt: the default text.
        trained_size: side in output pixels of the training pictures.
        trained_eyes: least and largest eye distance in output pixels of the faces trained on, or None.
        id_tokens: of the identity tokens, or None.
    """

    unet_layers: tuple[str, ...]
    vae_layers: tuple[str, ...]
    rank: int = 4
    alpha: float = 8.0
    timestep: int = 999
    base: str = "Stable Diffusion 2.1-base"
    prompt: str = ""
    scale: int = 4
    trained_size: int = 1024
    default_color_fix: str = "adain"
    no_reference: NoReference = "zero_latent"
    reference_placement: ReferencePlacement = "aligned"
    trained_eyes: tuple[float, float] | None = None
    id_tokens: IdTokenRecord | None = None
    card: ModelCard = field(default_factory=lambda: ModelCard("unnamed", "unknown"))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AdapterRecord:
        """Read the record of a header.

        Raises:
            TypeError, ValueError: unknown or missing fields, or values that cannot be.
        """
        layers = {name: tuple(map(str, record[name])) for name in ("unet_layers", "vae_layers") if name in record}
        fields: dict[str, Any] = {**record, **layers, "card": ModelCard(**record.get("card", {}))}
        fields["id_tokens"] = IdTokenRecord.from_json(record.get("id_tokens"))
        fields["trained_eyes"] = eye_range(record.get("trained_eyes"))
        made = cls(**fields)
        for name, kind in (("no_reference", NoReference), ("reference_placement", ReferencePlacement)):
            if getattr(made, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(made, name)!r}, expected one of {get_args(kind)}")
        for name, least, most in (("rank", 1, 1024), ("timestep", 0, 999), ("scale", 1, 64), ("trained_size", 8, 8192)):
            value = getattr(made, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} is {value!r}, expected a whole number from {least} to {most}")
        alpha: Any = made.alpha
        if not isinstance(alpha, int | float) or not 0 < alpha <= 1e4:
            raise ValueError(f"alpha is {alpha!r}, expected a positive number")
        return made

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dictionaries and numbers."""
        return asdict(self)


def is_headsup_adapter(file: WeightsFile) -> bool:
    """Whether the header says that this is such a file."""
    return file.metadata.get("format") == FORMAT


def save_headsup_adapter(
    path: Path,
    unet: Adapter,
    encoder: Adapter,
    record: AdapterRecord,
    dtype: torch.dtype = torch.float32,
    id_tokens: IdTokens | None = None,
) -> None:
    """Write the adapters of the UNet (its replaced tensors are the trained conv_in) and of the VAE's encoder.

    Raises:
        ValueError: the adapters are not what `record` says: layers, rank, scale, identity tokens, or no trained
            conv_in.
    """
    tensors: dict[str, torch.Tensor] = {}
    for network, adapter, layers in (("unet", unet, record.unet_layers), ("vae", encoder, record.vae_layers)):
        if set(adapter.paths) != set(layers):
            odd = sorted(set(adapter.paths) ^ set(layers))[0]
            raise ValueError(f"the record's {network}_layers are not the adapter's: {odd} is in one of them only")
        for layer, branch in adapter.items():
            if branch.down.shape[0] != record.rank or branch.scale != record.alpha / record.rank:
                raise ValueError(
                    f"{network}.{layer} has rank {branch.down.shape[0]} and scale {branch.scale:g}, the record says "
                    f"rank {record.rank} and alpha {record.alpha:g}"
                )
            tensors[f"{network}.{layer}.lora_A.weight"] = branch.down
            tensors[f"{network}.{layer}.lora_B.weight"] = branch.up
    trained = unet.replacements()
    if set(trained) != set(CONV_IN):
        found = ", ".join(trained) or "nothing"
        raise ValueError(f"the UNet's adapter replaces {found}, expected {', '.join(CONV_IN)}")
    tensors |= {f"unet.{name}": tensor for name, tensor in trained.items()}
    if record.id_tokens != (None if id_tokens is None else id_tokens.record):
        raise ValueError(f"the record's id_tokens {record.id_tokens} are not those of the injector")
    if id_tokens is not None:
        tensors |= {ID_TOKENS + name: tensor for name, tensor in id_tokens.state_dict().items()}
    stored = {name: tensor.detach().to("cpu", dtype) for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "record": json.dumps(record.to_json())}
    write_safetensors(path, stored, metadata)


def read_record(file: WeightsFile) -> AdapterRecord:
    """The record in the header. Raises `ModelFileError` when it is newer than this code, or damaged."""
    check_version(file, FORMAT_VERSION)
    try:
        return AdapterRecord.from_json(json.loads(file.metadata["record"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{file.path}: the record in the header is damaged: {error}") from error
