"""One model file with two ends, a faithful and a crisp one, mixed at loading.

Of two trainings from the same start, one for fidelity and one for perception, the linear interpolation of the weights
w = (1 - d) * faithful + d * crisp gives models between them (network interpolation: ESRGAN, arXiv 1809.00219, section
3.4). So d, the `detail`, is one number that a user turns, at no cost in time.

The faithful end is stored whole, so that at d = 0 the model is bit-equal to its file, and the crisp end as its
difference in one byte a number (`coarse_differences`): two thirds of the size of both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, ModelFileError
from ..record import ModelRecord
from .coarse_differences import coarse
from .headsup_file import DETAIL, DETAIL_STEP, is_headsup_file, model_header, read_model_record
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
    faithful_end, crisp_end = (dict(file.content) for file in files)
    changed = [name for name, tensor in crisp_end.items() if not torch.equal(tensor, faithful_end[name])]
    if not changed:
        raise ModelFileError(f"{crisp} holds the same weights as {faithful}: there is nothing to mix")
    if whole := [name for name in changed if not crisp_end[name].is_floating_point()]:
        raise ModelFileError(f"{crisp}: {whole[0]} differs and holds whole numbers, which cannot be mixed")
    tensors: dict[str, Any] = dict(faithful_end)
    for name in changed:
        difference = crisp_end[name].float() - faithful_end[name].float()
        tensors[DETAIL + name], tensors[DETAIL_STEP + name] = coarse(difference)
    record = replace(records[0], detail=float(default))
    write_safetensors(output, tensors, model_header(record))


def _record_of_one_end(file: WeightsFile) -> ModelRecord:
    if not is_headsup_file(file):
        raise ModelFileError(f"{file.path} is no whole HeadsUp model: only those can have two ends")
    record = read_model_record(file)
    if record.detail is not None:
        raise ModelFileError(f"{file.path} has two ends already: give the two files that it was made of")
    return record
