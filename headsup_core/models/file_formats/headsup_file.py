"""The HeadsUp model file: one `.safetensors`, tensors `codec.…`, `unet.…`, `prompt`, the rest in its header.

A model with identity tokens has `id_tokens.…`, too.

Header metadata (strings): `format` = "headsup"; `format_version`; `architecture` = JSON of `Architecture`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from ...errors import ModelFileError
from ..architecture import Architecture
from ..id_tokens import PREFIX as ID_TOKENS
from ..one_step import OneStepModel
from .weights_files import WeightsFile, check_finite, check_version, load_network, write_safetensors

FORMAT = "headsup"
FORMAT_VERSION = 1


def is_headsup_file(file: WeightsFile) -> bool:
    """Whether the header says that this is one of ours."""
    return file.metadata.get("format") == FORMAT


def save_headsup(
    path: Path, model: OneStepModel, architecture: Architecture, dtype: torch.dtype = torch.float16
) -> None:
    """Write `model` with its `architecture` atomically; floating-point weights are stored as `dtype`."""
    networks = {"codec": model.codec.vae, "unet": model.unet}
    if model.id_tokens is not None:
        networks[ID_TOKENS.removesuffix(".")] = model.id_tokens
    tensors = {
        f"{part}.{name}": tensor for part, network in networks.items() for name, tensor in network.state_dict().items()
    }
    tensors["prompt"] = model.prompt.embeddings(None)
    stored = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in tensors.items()
    }
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": json.dumps(architecture.to_json()),
    }
    write_safetensors(path, stored, metadata)


def load_headsup(file: WeightsFile, dtype: torch.dtype) -> OneStepModel:
    """Build the model of a HeadsUp file on the CPU in `dtype`.

    Raises:
        ModelFileError: newer format, unreadable header, or tensors that do not fit it.
    """
    architecture = read_architecture(file)
    prompt = file.content.get("prompt")
    if not isinstance(prompt, torch.Tensor) or prompt.ndim != 3:
        raise ModelFileError(f"{file.path}: the tensor `prompt` [1,n,D] is missing")
    check_finite("prompt", prompt, file.path)
    with torch.device("meta"):  # no memory is taken before the header is known to fit the tensors
        model = architecture.build(prompt.float())
    load_network(model.codec.vae, _part(file.content, "codec."), dtype, file.path)
    load_network(model.unet, _part(file.content, "unet."), dtype, file.path)
    if model.id_tokens is not None:
        load_network(model.id_tokens, _part(file.content, ID_TOKENS), dtype, file.path, prefix=ID_TOKENS)
    return model


def read_architecture(file: WeightsFile) -> Architecture:
    """The record in the header. Raises `ModelFileError` when it is newer than this code, or damaged."""
    check_version(file, FORMAT_VERSION)
    try:
        return Architecture.from_json(json.loads(file.metadata["architecture"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{file.path}: the architecture record in the header is damaged: {error}") from error


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
