"""One model file with two ends, a faithful and a crisp one, mixed at loading.

Of two trainings from the same start, one for fidelity and one for perception, the linear interpolation of the weights
w = (1 - d) * faithful + d * crisp gives models between them (network interpolation: ESRGAN, arXiv 1809.00219, section
3.4). So d, the `detail`, is one number that a user turns, at no cost in time.

The ends are stored whole and not as differences (`headsup_file`), so that at d = 0 and d = 1 the model is bit-equal to
the end's own file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, ModelFileError
from ..record import ModelRecord
from .headsup_file import DETAIL, is_headsup_file, model_header, read_model_record
from .weights_files import WeightsFile, read_weights, write_safetensors


def join_ends(faithful: Path, crisp: Path, default: float, output: Path) -> None:
    """Write one file of two exported model files of one architecture; the card is the faithful end's.

    Args:
        default: the detail, 0..1, that is used when nobody asks for one.

    Raises:
        InputError: `default` outside of 0..1.
        ModelFileError: a file is no whole HeadsUp model, has two ends already, or the architectures differ.
    """
    if not 0 <= default <= 1:
        raise InputError(f"detail {default:g}: must be from 0 (faithful) to 1 (crisp)")
    files = [read_weights(path) for path in (faithful, crisp)]
    records = [_record_of_one_end(file) for file in files]
    shapes = [{name: (tensor.shape, tensor.dtype) for name, tensor in file.content.items()} for file in files]
    if replace(records[1], card=records[0].card) != records[0] or shapes[0] != shapes[1]:
        raise ModelFileError(f"{crisp} has another architecture than {faithful}: both ends are of one model")
    ends: list[dict[str, Any]] = [dict(file.content) for file in files]
    own = {DETAIL + name: tensor for name, tensor in ends[1].items() if not torch.equal(tensor, ends[0][name])}
    if whole := [name for name, tensor in own.items() if not tensor.is_floating_point()]:
        raise ModelFileError(f"{crisp}: {whole[0]} differs and holds whole numbers, which cannot be mixed")
    if not own:
        raise ModelFileError(f"{crisp} holds the same weights as {faithful}: there is nothing to mix")
    record = replace(records[0], detail=float(default))
    write_safetensors(output, ends[0] | own, model_header(record))


def _record_of_one_end(file: WeightsFile) -> ModelRecord:
    if not is_headsup_file(file):
        raise ModelFileError(f"{file.path} is no whole HeadsUp model: only those can have two ends")
    record = read_model_record(file)
    if record.detail is not None:
        raise ModelFileError(f"{file.path} has two ends already: give the two files that it was made of")
    return record
