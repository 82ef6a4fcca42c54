"""The HeadsUp model file: one `.safetensors`, tensors `codec.…`, `unet.…`, `prompt`, the rest in its header.

A file with two ends (`two_ends`) is the faithful end's, with what the crisp end adds to those tensors that differ as
`detail.NAME` and `detail_step.NAME` (`coarse_differences`); the record's `detail` is the default mixture.

Header metadata (strings): `format` = "headsup"; `format_version`; `architecture` = JSON of a `ModelRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from ...errors import ModelFileError
from ..building import build_model
from ..one_step import OneStepModel
from ..record import ModelRecord
from .coarse_differences import fine, steps_shape
from .record_header import header_of, read_header
from .weights_files import WeightsFile, check_finite, load_network, write_safetensors

FORMAT = "headsup"
FORMAT_VERSION = 1
DETAIL, DETAIL_STEP = "detail.", "detail_step."
"""Starts of the names of what the crisp end adds to the faithful one's tensors."""


def is_headsup_file(file: WeightsFile) -> bool:
    """Whether the header says that this is one of ours."""
    return file.metadata.get("format") == FORMAT


def save_headsup(path: Path, model: OneStepModel, dtype: torch.dtype = torch.float16) -> None:
    """Write `model` with its record atomically; floating-point weights are stored as `dtype`.

    Raises:
        ValueError: the model's networks are a base's.
    """
    if model.record.architecture is None:
        raise ValueError(f"{model.card.name} has no networks of its own: its adapters are what can be saved")
    networks = {"codec": model.codec.vae, "unet": model.unet}
    tensors = {
        f"{part}.{name}": tensor for part, network in networks.items() for name, tensor in network.state_dict().items()
    }
    tensors["prompt"] = model.prompt.embeddings(None)
    stored = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in tensors.items()
    }
    write_safetensors(path, stored, model_header(replace(model.record, detail=None)))


def model_header(record: ModelRecord) -> dict[str, str]:
    """The header metadata of a file of that record."""
    return header_of(record, FORMAT, FORMAT_VERSION, "architecture")


def load_headsup(file: WeightsFile, dtype: torch.dtype, detail: float | None = None) -> OneStepModel:
    """Build the model of a HeadsUp file on the CPU in `dtype`.

    Args:
        detail: of a file with two ends, their mixture: 0 the faithful end, 1 the crisp one; None: the file's default.

    Raises:
        ModelFileError: newer format, unreadable header, or tensors that do not fit it.
    """
    record = read_model_record(file)
    chosen = record.detail if detail is None else detail
    content = file.content if chosen is None else _mixed(file, chosen)
    prompt = content.get("prompt")
    if not isinstance(prompt, torch.Tensor) or prompt.ndim != 3:
        raise ModelFileError(f"{file.path}: the tensor `prompt` [1,n,D] is missing")
    check_finite("prompt", prompt, file.path)
    with torch.device("meta"):  # no memory is taken before the header is known to fit the tensors
        model = build_model(replace(record, detail=chosen), prompt.float())
    load_network(model.codec.vae, _part(content, "codec."), dtype, file.path)
    load_network(model.unet, _part(content, "unet."), dtype, file.path)
    return model


def _mixed(file: WeightsFile, detail: float) -> dict[str, torch.Tensor]:
    """The tensors at `detail` d: w = faithful + d * difference in fp32; at 0 the faithful end as it is stored.

    Raises:
        ModelFileError: a difference has no counterpart of its shape, or no steps.
    """
    added = (DETAIL, DETAIL_STEP)
    tensors: dict[str, torch.Tensor] = {n: t for n, t in file.content.items() if not n.startswith(added)}
    differences, steps = (_part(file.content, prefix) for prefix in added)
    if not differences:
        raise ModelFileError(f"{file.path}: its record has a detail of its own, but no tensor {DETAIL}… is there")
    for name, difference in differences.items():
        _check_difference(file, name, difference, tensors.get(name), steps.get(name))
        if detail > 0:
            tensors[name] = tensors[name].float() + detail * fine(difference, steps[name])
    return tensors


def _check_difference(
    file: WeightsFile, name: str, difference: torch.Tensor, start: torch.Tensor | None, steps: torch.Tensor | None
) -> None:
    """Raises `ModelFileError` unless the three belong together."""
    if start is None or start.shape != difference.shape:
        what = "missing" if start is None else tuple(start.shape)
        raise ModelFileError(f"{file.path}: {DETAIL}{name} is {tuple(difference.shape)}, but {name} is {what}")
    if difference.dtype != torch.int8:
        raise ModelFileError(f"{file.path}: {DETAIL}{name} is {difference.dtype}, expected whole numbers (int8)")
    if steps is None or steps.shape != steps_shape(difference):
        what = "missing" if steps is None else tuple(steps.shape)
        raise ModelFileError(f"{file.path}: {DETAIL_STEP}{name} is {what}, expected {tuple(steps_shape(difference))}")


def read_model_record(file: WeightsFile) -> ModelRecord:
    """The record in the header. Raises `ModelFileError` when it is newer than this code, or damaged."""
    return read_header(file, FORMAT_VERSION, "architecture")


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
