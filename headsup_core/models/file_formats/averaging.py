"""Mean of the weights of several model files ("model soups", arXiv 2203.05482)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import InputError, ModelFileError
from .headsup_file import is_headsup_file, read_model_record
from .weights_files import WeightsFile, read_weights, write_safetensors


def average_files(paths: Sequence[Path], weights: Sequence[float], output: Path) -> None:
    """Write the weighted mean of whole HeadsUp models of one architecture, such as stages of one training.

    The header, hence the card, is the first file's; computed in float32, stored as the first file stores it.

    Args:
        paths: two files or more.
        weights: one of each, finite and 0 or more; they are divided by their sum.

    Raises:
        InputError: too few files, or weights that are none.
        ModelFileError: a file is no whole HeadsUp model, or another architecture's.
    """
    if len(paths) < 2 or len(weights) != len(paths):
        raise InputError(f"{len(paths)} files and {len(weights)} weights: give two files or more and a weight for each")
    total = sum(weights)
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not total:
        raise InputError(f"weights {', '.join(f'{weight:g}' for weight in weights)}: 0 or more each, and not all 0")
    files = [read_weights(path) for path in paths]
    first = files[0]
    for file in files:
        _check(file, first)
    mean = {
        name: _mean([file.content[name] for file in files], [weight / total for weight in weights])
        for name in first.content
    }
    write_safetensors(output, mean, dict(first.metadata))


def _check(file: WeightsFile, first: WeightsFile) -> None:
    if not is_headsup_file(file):
        raise ModelFileError(f"{file.path} is no whole HeadsUp model: adapters have no meaningful mean")
    ours, theirs = ({**read_model_record(each).to_json(), "card": None} for each in (file, first))
    shapes, wanted = ({name: value.shape for name, value in each.content.items()} for each in (file, first))
    if ours != theirs or shapes != wanted:
        raise ModelFileError(f"{file.path} has another architecture than {first.path}")


def _mean(tensors: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    first = tensors[0]
    if not first.is_floating_point():
        return first
    total = torch.zeros_like(first, dtype=torch.float32)
    for tensor, share in zip(tensors, shares, strict=True):
        total.add_(tensor.float(), alpha=share)
    return total.to(first.dtype)
