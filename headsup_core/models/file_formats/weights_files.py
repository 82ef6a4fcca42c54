"""Reading weight files from strangers: safetensors, or pickles that hold nothing but tensors and plain data."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ...errors import ModelFileError
from ...whole_files import whole_file, why_absent

PICKLES = {".pkl", ".pth", ".pt", ".ckpt", ".bin"}


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """What a file held: a mapping (tensors by name; pickles may nest further data) and safetensors' header metadata."""

    path: Path
    content: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def read_weights(
    path: Path, wanted: Callable[[str], bool] = lambda name: True, *, mapped: bool = False
) -> WeightsFile:
    """Read `.safetensors`, or a pickle with `weights_only=True` and nothing else.

    Args:
        path: the file.
        wanted: which tensors of a safetensors file to read; a pickle is always read whole.
        mapped: leave a pickle's tensors on the disk until they are used, where its format allows that: for large files
            of which a part is wanted.

    Raises:
        ModelFileError: missing, empty, truncated, not a weights file, or a pickle that wants to run code.
    """
    if not os.path.isfile(path):
        what = "is a folder, not a file" if os.path.isdir(path) else why_absent(path)
        raise ModelFileError(f"model file {path} {what}")
    if not os.access(path, os.R_OK):  # safetensors would call it missing
        raise ModelFileError(f"model file {path} may not be read by this user: allow it")
    size = path.stat().st_size
    if size == 0:
        raise ModelFileError(f"model file {path} is empty (0 bytes): download it again")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, size, wanted)
    if path.suffix in PICKLES:
        return WeightsFile(path, _read_pickle(path, size, mapped=mapped and zipfile.is_zipfile(path)))
    raise ModelFileError(
        f"{path} is not a model file: expected .safetensors, {', '.join(sorted(PICKLES))}, found {path.suffix!r}"
    )


def read_names(path: Path) -> WeightsFile:
    """What a file is recognised by: names and header. Tensors of safetensors are None, those of pickles stay on disk.

    Raises:
        ModelFileError: as `read_weights`, or a pickle of the format before torch 1.6, which can only be read whole.
    """
    names: list[str] = []

    def note(name: str) -> bool:
        names.append(name)
        return False

    if path.suffix in PICKLES and os.path.isfile(path) and not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path} has torch's old format, whose names cannot be read alone")
    file = read_weights(path, note, mapped=True)
    return replace(file, content=dict.fromkeys(names)) if names else file


def _read_safetensors(path: Path, size: int, wanted: Callable[[str], bool]) -> WeightsFile:
    try:
        with safe_open(path, framework="pt") as file:
            opened: Any = file
            names: list[str] = [name for name in opened.keys() if wanted(name)]  # noqa: SIM118 - no mapping
            tensors: dict[str, torch.Tensor] = {name: opened.get_tensor(name) for name in names}
            return WeightsFile(path, tensors, dict(opened.metadata() or {}))
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} ({size} bytes) cannot be read as safetensors, it is cut short or of another kind "
            f"({error}): download it again"
        ) from error


def _read_pickle(path: Path, size: int, *, mapped: bool) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error: ")[-1].splitlines()[0]
        raise ModelFileError(
            f"{path} holds more than tensors and was not opened, since a pickle can run code on your machine "
            f"({reason}): ask its publisher for a .safetensors file"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{path} ({size} bytes) cannot be read as a torch checkpoint, it is cut short or of another kind: "
            f"download it again"
        ) from error
    if not isinstance(content, Mapping):
        raise ModelFileError(f"{path} holds a {type(content).__name__}, expected a dictionary of tensors")
    return content  # pyright: ignore[reportUnknownVariableType]


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a file whole or not at all, readable by everybody."""
    with whole_file(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes it readable by the owner alone, but models are there to be shared


def check_version(file: WeightsFile, newest: int) -> None:
    """Raise `ModelFileError` when the header's `format_version` is missing or above `newest`."""
    version = file.metadata.get("format_version", "")
    if not version.isdigit() or int(version) > newest:
        raise ModelFileError(
            f"{file.path} has format version {version or 'none'}, this version of the pack reads up to {newest}: "
            "update ComfyUI-HeadsUp"
        )


def load_network(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, path: Path, *, prefix: str = ""
) -> None:
    """Fill `network` (built on the "meta" device) with `tensors`, converted to `dtype`.

    Args:
        prefix: what the names in the file have before those of `tensors`, for messages.

    Raises:
        ModelFileError: a key is missing, unexpected or of another shape, or holds NaN or infinity; which, and what
            was expected.
    """
    expected = network.state_dict()
    if missing := sorted(set(expected) - set(tensors)):
        raise ModelFileError(
            f"{path}: {len(missing)} of {len(expected)} tensors are missing, the first is "
            f"{prefix}{missing[0]} {tuple(expected[missing[0]].shape)}"
        )
    if unexpected := sorted(set(tensors) - set(expected)):
        raise ModelFileError(f"{path}: {len(unexpected)} tensors fit nowhere, the first is {prefix}{unexpected[0]}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ModelFileError(
                f"{path}: {prefix}{name} is {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
            )
        check_finite(prefix + name, tensor, path)
    converted = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    network.load_state_dict(converted, assign=True)
    network.eval().requires_grad_(False)


def checksum(tensors: Mapping[str, Any]) -> str:
    """CRC-32 of the tensors' bytes in the order of their names, eight hexadecimal digits; other values do not count."""
    total = 0
    for name in sorted(tensors):
        if isinstance(tensors[name], torch.Tensor):
            total = zlib.crc32(tensors[name].contiguous().view(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def check_finite(name: str, tensor: torch.Tensor, path: Path) -> None:
    """Raise `ModelFileError` when a tensor holds NaN or infinity."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ModelFileError(f"{path}: {bad} of {tensor.numel()} values of {name} are NaN or infinite: damaged file")
