"""Model files: our folders below `models`, and weights shared by all nodes that load the same file."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...headsup_core import HeadsUpModel, InputError, ModelFileError, load_model
from ...headsup_core.idfsr.idfsr_file import DEFAULT_IDFSR, is_idfsr_file, load_idfsr
from ...headsup_core.idfsr.known_faces import IDFSRPainter, find_any_model, is_idfsr
from ...headsup_core.models.face_restorers.known_restorers import FOLDER as FACE_RESTORERS
from ...headsup_core.models.face_restorers.through_onnx import SUFFIX as ONNX
from ...headsup_core.models.file_formats.weights_files import read_weights
from ...headsup_core.models.loading import DEFAULT_MODEL, bundled_models, find_model_file
from ...headsup_core.models.systems import COMPANIONS
from ..bridge.comfy import folder_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...headsup_core import Host
    from ...headsup_core.idfsr.idfsr_model import IDFSRModel
    from ...headsup_core.models.one_step import OneStepModel

FOLDER = "headsup"
FOLDERS = (FOLDER, "insightface", "facedetection", FACE_RESTORERS)
"""Below ComfyUI's models folder; all but the first under the names that other packs use, so that files are shared."""
IDENTITIES = "identities"
"""Folder in `models/headsup` for files of people, which are no models."""
TAGGER_FOLDER = "taggers"
"""Folder in `models/headsup` for files of RAM and DAPE under other names than the published ones."""
TAGGERS = ("ram_", "dape")
"""How the names of such files begin."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pkl")
BUNDLED_MARK = " (bundled)"
RESTORER_MARK = f" ({FACE_RESTORERS})"
DEFAULT_CHOICE = DEFAULT_MODEL + BUNDLED_MARK

WeightsKey = tuple[Path, int, int, str, str, tuple[tuple[str, Any], ...]]
_shared: WeakValueDictionary[WeightsKey, OneStepModel] = WeakValueDictionary()
_shared_idfsr: WeakValueDictionary[tuple[Path, int, int], IDFSRModel] = WeakValueDictionary()


def register_folders() -> None:
    """Tell ComfyUI of our folders; those of the same names of `extra_model_paths.yaml` and other packs stay first."""
    for name in FOLDERS:
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))


def choices() -> list[str]:
    """The bundled models, the default first, then the weights files of the folders."""
    bundled = [DEFAULT_MODEL, *(name for name in bundled_models() if name != DEFAULT_MODEL), DEFAULT_IDFSR]
    files: list[str] = folder_paths.get_filename_list(FOLDER)
    models = [name for name in files if name.lower().endswith(SUFFIXES) and not (_is_other(name) or _is_tagger(name))]
    return [name + BUNDLED_MARK for name in bundled] + models


def tagger_choices() -> list[str]:
    """The files of RAM and DAPE in `models/headsup`, RAM's first."""
    files: list[str] = folder_paths.get_filename_list(FOLDER)
    found = [name for name in files if name.lower().endswith(SUFFIXES) and _is_tagger(name)]
    return sorted(found, key=lambda name: (not _stem(name).startswith(TAGGERS[0]), name))


def _is_tagger(name: str) -> bool:
    """By its name as published, or its folder: reading gigabytes to know would take long."""
    return PureWindowsPath(name).parts[0] == TAGGER_FOLDER or _stem(name).startswith(TAGGERS)


def _stem(name: str) -> str:
    return PureWindowsPath(name).stem.lower()


def face_restorer_choices() -> list[str]:
    """The files in `models/facerestore_models`, where other packs keep GFPGAN, CodeFormer, RestoreFormer and GPEN."""
    names: list[str] = folder_paths.get_filename_list(FACE_RESTORERS)
    return [name + RESTORER_MARK for name in names if name.lower().endswith((*SUFFIXES, ONNX))]


def idfsr_choices() -> list[str]:
    """The files in `models/headsup` whose header says that they are IDFSR models."""
    names: list[str] = folder_paths.get_filename_list(FOLDER)
    return [name for name in names if _is_idfsr(name)]


def _is_idfsr(name: str) -> bool:
    if not name.lower().endswith(".safetensors"):
        return False
    try:
        return _says_idfsr(fingerprint(find_choice(name)))
    except (ModelFileError, InputError):  # a damaged file: let the loader say so
        return False


@lru_cache(maxsize=256)
def _says_idfsr(file: tuple[Path, int, int]) -> bool:
    """By the header of a file of that fingerprint: the page asks for all choices each time it is opened."""
    return is_idfsr_file(read_weights(file[0], lambda tensor: False).metadata)


def _is_other(name: str) -> bool:
    """Whether a file is a saved identity or an adapter's companion."""
    parts = PureWindowsPath(name).parts  # splits at both kinds of slashes
    return parts[0] == IDENTITIES or parts[-1] in COMPANIONS


def find_choice(choice: str) -> Path:
    """The file of one of `choices()` or `face_restorer_choices()`.

    Raises:
        ModelFileError: it is not there any more.
        InputError: the name leaves its folder.
    """
    if choice.endswith(BUNDLED_MARK):
        return find_any_model(choice.removesuffix(BUNDLED_MARK))
    if choice.endswith(RESTORER_MARK):
        return find_file(FACE_RESTORERS, choice.removesuffix(RESTORER_MARK))
    return find_file(FOLDER, choice)


def find_file(kind: str, name: str) -> Path:
    """The file or folder `name` in ComfyUI's folders of `kind`; raises as `find_choice`."""
    refuse_outside(name, f"models/{kind}")
    folders: list[str] = folder_paths.get_folder_paths(kind)
    for folder in folders:  # not get_full_path(), which finds no folders
        if "\0" not in name and Path(folder, name).exists():
            return Path(folder, name)
    raise ModelFileError(
        f"model {name!r} not found: put the file into {' or '.join(folders)} and press R, or choose another"
    )


def refuse_outside(name: str, folder: str) -> None:
    """Raise `InputError` for a name that is no name inside its folder, on any system."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or ".." in path.parts or not path.parts:
            raise InputError(f"name {name!r} leaves its folder: use a name inside {folder}")


def fingerprint(path: Path) -> tuple[Path, int, int]:
    """Changes when the file is replaced."""
    state = path.stat()
    return path.resolve(), state.st_mtime_ns, state.st_size


def load_shared(path: Path, dtype: str, host: Host, options: Mapping[str, Any]) -> HeadsUpModel:
    """A handle on the file's weights, read once for the same file, dtype, device and options while anyone uses them.

    Raises:
        ModelFileError, InputError: as the core's `load_model`.
    """
    painter = None
    if is_idfsr(path):
        painter, path = IDFSRPainter(share_idfsr(path)), find_model_file(DEFAULT_MODEL)
    key = (*fingerprint(path), dtype, str(host.device), tuple(sorted(options.items())))
    weights = _shared.get(key)
    if weights is None:
        weights = load_model(path, dtype=dtype, host=host, **options).one_step
        _shared[key] = weights
    return HeadsUpModel(weights, painter=painter)


def share_idfsr(path: Path) -> IDFSRModel:
    """The IDFSR model of a file, read once while anyone uses it. Raises `ModelFileError` as `load_idfsr`."""
    key = fingerprint(path)
    model = _shared_idfsr.get(key)
    if model is None:
        model = load_idfsr(path)
        _shared_idfsr[key] = model
    return model
