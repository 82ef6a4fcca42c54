"""Model files: the folder `models/headsup`, and weights shared by all nodes that load the same file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..headsup_core import HeadsUpModel, InputError, ModelFileError, load_model
from ..headsup_core.models.loading import DEFAULT_MODEL, bundled_models, find_model_file
from ..headsup_core.models.systems import COMPANIONS
from .comfy import folder_paths

if TYPE_CHECKING:
    from ..headsup_core import Host
    from ..headsup_core.models.one_step import OneStepModel

FOLDER = "headsup"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pkl")
BUNDLED_MARK = " (bundled)"
DEFAULT_CHOICE = DEFAULT_MODEL + BUNDLED_MARK

WeightsKey = tuple[Path, int, int, str, str]
_shared: WeakValueDictionary[WeightsKey, OneStepModel] = WeakValueDictionary()


def register_folder() -> None:
    """Tell ComfyUI of `models/headsup`; folders of that name in `extra_model_paths.yaml` count as well."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def choices() -> list[str]:
    """The bundled models, the default first, then the weights files of the folders but for companions of adapters."""
    bundled = [DEFAULT_MODEL, *(name for name in bundled_models() if name != DEFAULT_MODEL)]
    files: list[str] = folder_paths.get_filename_list(FOLDER)
    offered = [name for name in files if name.lower().endswith(SUFFIXES) and not _is_companion(name)]
    return [name + BUNDLED_MARK for name in bundled] + offered


def _is_companion(name: str) -> bool:
    return PureWindowsPath(name).name in COMPANIONS  # splits at both kinds of slashes


def find_choice(choice: str) -> Path:
    """The file of one of `choices()`.

    Raises:
        ModelFileError: it is not there any more.
        InputError: the name leaves its folder.
    """
    if choice.endswith(BUNDLED_MARK):
        return find_model_file(choice.removesuffix(BUNDLED_MARK))
    return find_file(FOLDER, choice)


def find_file(kind: str, name: str) -> Path:
    """The file `name` in ComfyUI's folders of `kind`; raises as `find_choice`."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise InputError(f"model name {name!r} leaves its folder: use a name inside models/{kind}")
    try:
        return Path(folder_paths.get_full_path_or_raise(kind, name))
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        looked = ", ".join(folder_paths.get_folder_paths(kind))
        raise ModelFileError(f"model {name!r} not found; looked in {looked}") from error


def fingerprint(path: Path) -> tuple[Path, int, int]:
    """Changes when the file is replaced."""
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size


def load_shared(path: Path, dtype: str, device: str, host: Host) -> HeadsUpModel:
    """A handle on the file's weights, read once for the same file, dtype and device while anyone uses them.

    Raises:
        ModelFileError, InputError: as the core's `load_model`.
    """
    key = (*fingerprint(path), dtype, str(host.device))
    weights = _shared.get(key)
    if weights is None:
        weights = load_model(path, dtype=dtype, host=host).one_step
        _shared[key] = weights
    return replace(HeadsUpModel(weights), options={"device": device})
