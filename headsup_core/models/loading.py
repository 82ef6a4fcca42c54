"""`load_model`: from a name or file to the handle that restores."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError, ModelFileError
from ..host import Host
from .headsup_file import is_headsup_file, load_headsup
from .one_step import HeadsUpModel
from .weights import read_weights

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
DEFAULT_MODEL = "headsup-tiny"
SMALL_MODEL_BYTES = 200_000_000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(model: str | Path = DEFAULT_MODEL, *, dtype: str = "auto", host: Host | None = None) -> HeadsUpModel:
    """Load a one-step restorer.

    Args:
        model: a bundled name ("headsup-tiny"), a path to a HeadsUp `.safetensors`, or, with a `host`, the name of
            a file in its `models/headsup`.
        dtype: "auto" (float32; float16 for files over 200 MB on a GPU), "float32", "bfloat16", "float16".
        host: finds files and says which device will compute; None: files by path only, CPU.

    Raises:
        ModelFileError: nothing of that name, or a file that is not a usable model: what was found and expected.
        InputError: unknown dtype, or a name that leaves its folder.
    """
    file = read_weights(find_model_file(model, host))
    if not is_headsup_file(file):
        some = ", ".join(list(file.content)[:3]) or "nothing"
        raise ModelFileError(
            f"{file.path} is a weights file, but not a HeadsUp model (it holds {some} ...): expected a .safetensors "
            f"whose header says format = headsup"
        )
    return HeadsUpModel(load_headsup(file, resolve_dtype(dtype, host, file.path.stat().st_size)))


def find_model_file(model: str | Path, host: Host | None = None) -> Path:
    """The file that `load_model` would read."""
    bundled = bundled_models()
    if str(model) in bundled:
        return bundled[str(model)]
    if isinstance(model, Path) or host is None or Path(model).is_file():
        path = Path(model)
        if not path.exists():
            raise ModelFileError(f"model {str(model)!r}: no such file; bundled: {', '.join(bundled) or 'none'}")
        return path
    return host.find_model("headsup", model)


def bundled_models() -> dict[str, Path]:
    """Name -> file of the models that come with the pack."""
    return {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.safetensors"))}


def resolve_dtype(dtype: str, host: Host | None, file_bytes: int = 0) -> torch.dtype:
    """The torch dtype of a choice; see `load_model`. Raises `InputError` when it is none."""
    if dtype == "auto":
        on_gpu = host is not None and host.device.type != "cpu"
        return torch.float16 if on_gpu and file_bytes > SMALL_MODEL_BYTES else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is unknown: choose auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]
