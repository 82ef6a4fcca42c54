"""Published systems: adapters in `models/headsup`, bases in `models/checkpoints` and `models/diffusers`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...headsup_core import HeadsUpModel, ModelFileError, load_model
from ...headsup_core.models.bases.base import Base, load_base
from ...headsup_core.models.codecs.quick_decoder import find_taesd
from ...headsup_core.models.loading import SMALL_MODEL_BYTES, resolve_dtype
from ...headsup_core.models.systems import COMPANIONS, SYSTEMS
from ..bridge.comfy import folder_paths
from ..bridge.host import ComfyHost
from .model_files import BUNDLED_MARK, choices, find_file, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...headsup_core import Host

NONE = "none"
FOLDER_MARK = " (diffusers folder)"
AUTO = "auto"
SYSTEM_CHOICES = (AUTO, *(system.id for system in SYSTEMS))

_bases: WeakValueDictionary[tuple[Any, ...], Base] = WeakValueDictionary()


def adapter_choices() -> list[str]:
    """"none", then the weights files in `models/headsup`."""
    return [NONE, *(name for name in choices() if not name.endswith(BUNDLED_MARK))]


def base_choices() -> list[str]:
    """"none", then diffusers folders and checkpoints."""
    checkpoints: list[str] = folder_paths.get_filename_list("checkpoints")
    return [NONE, *(name + FOLDER_MARK for name in _diffusers_folders()), *checkpoints]


def find_base_choice(choice: str) -> Path:
    """The file or folder of one of `base_choices()`; raises `ModelFileError` when it is not there any more."""
    if not choice.endswith(FOLDER_MARK):
        return find_file("checkpoints", choice)
    folders = _diffusers_folders()
    name = choice.removesuffix(FOLDER_MARK)
    if name not in folders:
        raise ModelFileError(f"diffusers folder {name!r} not found; there are: {', '.join(folders) or 'none'}")
    return folders[name]


def adapter_fingerprint(adapter: Path) -> tuple[Any, ...]:
    """Changes when the adapter or a companion beside it is replaced."""
    beside = [adapter.with_name(name) for name in sorted(COMPANIONS)]
    return tuple(fingerprint(path) for path in (adapter, *beside) if path.is_file())


def base_fingerprint(base: Path) -> tuple[Any, ...]:
    """Changes when the base is replaced: of a folder, any file that is read."""
    files = sorted(base.glob("*/*")) if base.is_dir() else [base]
    return tuple(fingerprint(path) for path in files if path.is_file())


def taesd_fingerprint() -> tuple[Any, ...] | None:
    """Changes when TAESD's decoder is replaced; None where there is none, which loading says."""
    try:
        return fingerprint(find_taesd(ComfyHost.on("cpu")))
    except ModelFileError:
        return None


def load_adapted(
    adapter: Path, base: Path, dtype: str, host: Host, options: Mapping[str, Any]
) -> HeadsUpModel:
    """A handle on an adapter over a base, which is read once for all adapters over it; raises as `load_model`."""
    precision = resolve_dtype(dtype, host, SMALL_MODEL_BYTES + 1)
    key = (base.resolve(), base_fingerprint(base), precision, str(host.device))
    shared = _bases.get(key)
    if shared is None:
        shared = load_base(base, precision)
        _bases[key] = shared
    handle = load_model(adapter=adapter, base=shared, host=host, **options)
    return replace(handle, base=shared)


def _diffusers_folders() -> dict[str, Path]:
    """Name below its `models/diffusers` -> folder with a `model_index.json`."""
    roots = [Path(root) for root in folder_paths.get_folder_paths("diffusers")]
    found = [(root, index.parent) for root in roots for index in sorted(root.glob("**/model_index.json"))]
    return {folder.relative_to(root).as_posix(): folder for root, folder in found}
