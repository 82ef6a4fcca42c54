"""HeadsUp's adapter file: one `.safetensors` beside a Stable Diffusion 2.1-base, tensors and, in its header, the rest.

Tensors: `unet.LAYER.lora_A.weight` and `.lora_B.weight`, the same with `vae.` (encoder only), and the whole trained
`unet.conv_in.weight` `[w,9,3,3]` (latent, reference latent, face mask) and `unet.conv_in.bias`.
Header metadata (strings): `format` = "headsup-adapter"; `format_version`; `record` = JSON of a `ModelRecord`.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..lora.branches import Adapter
from ..record import ModelRecord
from .record_header import header_of, read_header
from .weights_files import WeightsFile, write_safetensors

FORMAT = "headsup-adapter"
FORMAT_VERSION = 1
CONV_IN = ("conv_in.weight", "conv_in.bias")


def is_headsup_adapter(file: WeightsFile) -> bool:
    """Whether the header says that this is such a file."""
    return file.metadata.get("format") == FORMAT


def save_headsup_adapter(
    path: Path, unet: Adapter, encoder: Adapter, record: ModelRecord, dtype: torch.dtype = torch.float32
) -> None:
    """Write the adapters of the UNet (its replaced tensors are the trained conv_in) and of the VAE's encoder.

    Raises:
        ValueError: the adapters are not what `record` says: layers, rank, scale, or no trained conv_in.
    """
    layers = record.layers
    if layers is None:
        raise ValueError(f"the record of {record.card.name} names no adapted layers")
    tensors: dict[str, torch.Tensor] = {}
    for network, adapter, paths in (("unet", unet, layers.unet_layers), ("vae", encoder, layers.vae_layers)):
        if set(adapter.paths) != set(paths):
            odd = sorted(set(adapter.paths) ^ set(paths))[0]
            raise ValueError(f"the record's {network}_layers are not the adapter's: {odd} is in one of them only")
        for layer, branch in adapter.items():
            if branch.down.shape[0] != layers.rank or branch.scale != layers.alpha / layers.rank:
                raise ValueError(
                    f"{network}.{layer} has rank {branch.down.shape[0]} and scale {branch.scale:g}, the record says "
                    f"rank {layers.rank} and alpha {layers.alpha:g}"
                )
            tensors[f"{network}.{layer}.lora_A.weight"] = branch.down
            tensors[f"{network}.{layer}.lora_B.weight"] = branch.up
    trained = unet.replacements()
    if set(trained) != set(CONV_IN):
        found = ", ".join(trained) or "nothing"
        raise ValueError(f"the UNet's adapter replaces {found}, expected {', '.join(CONV_IN)}")
    tensors |= {f"unet.{name}": tensor for name, tensor in trained.items()}
    stored = {name: tensor.detach().to("cpu", dtype) for name, tensor in tensors.items()}
    write_safetensors(path, stored, header_of(record, FORMAT, FORMAT_VERSION, "record"))


def read_adapter_record(file: WeightsFile) -> ModelRecord:
    """The record in the header. Raises `ModelFileError` when it is newer than this code, or damaged."""
    return read_header(file, FORMAT_VERSION, "record")
