"""What the core asks of the program it runs in: a device, memory, progress, cancelling and model folders.

ComfyUI's implementation is in the node layer; `PlainHost` here serves the command line and Python.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
import weakref
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Protocol

import psutil
import torch
from torch import nn
from tqdm import tqdm
from typing_extensions import Self

from .errors import InputError, ModelFileError
from .whole_files import MISSING, why_absent

log = logging.getLogger(__name__)


class Progress(Protocol):
    """One running progress display, used as a context manager."""

    def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
        """Count `steps` more as done; `preview` is an optional picture `[3,h,w]` in 0..1."""
        ...

    def grow(self, steps: int) -> None:
        """Raise the total by `steps` (after out of memory there are more, smaller tiles)."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Host(Protocol):
    """The surroundings of a restoration."""

    @property
    def device(self) -> torch.device:
        """Where networks compute."""
        ...

    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        """Bring `modules` onto `device` whole, leaving `bytes_needed` free for activations."""
        ...

    def free_memory(self) -> int:
        """Bytes that may be used on `device` now."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether `error` says that memory on `device` ran out."""
        ...

    def release_memory(self) -> None:
        """Give cached memory back after running out of it."""
        ...

    def progress(self, total: int) -> Progress:
        """Start a progress display of `total` steps."""
        ...

    def check_cancelled(self) -> None:
        """Raise the host's own cancel exception if the user asked to stop; the core never catches it."""
        ...

    def find_model(self, kind: str, name: str) -> Path:
        """The file `name` in the folders of `kind` ("headsup", "checkpoints", "diffusers" ...).

        Raises `ModelFileError` when it is not there, `InputError` when the name leaves its folder.
        """
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that memory ran out, on a GPU or in the CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def trim_heap() -> None:
    """Give back to the system what C's allocator keeps of freed memory, where it can (glibc).

    It keeps blocks of up to 32 MB for itself, so one network's activations would lie beside the next one's: a third
    more than either takes at 1024 px.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def resolve_inside(folder: Path, name: str) -> Path:
    """`folder/name`; raises `InputError` for a name that leads out of its folder on any system.

    The name is what strangers choose, so it is the name that is looked at. Links in the folder are its owner's: they
    are followed, wherever they lead, as ComfyUI does.
    """
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts or not path.parts or "\0" in name:
            raise InputError(f"name {name!r} leaves its folder {folder}: use a plain file name inside it")
    return folder / name


class NothingToClose:
    """The end of a `Progress` that holds nothing open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class TqdmProgress:
    """A `Progress` on the terminal, with the time left."""

    def __init__(self, total: int, description: str = "restoring", *, quiet: bool = False) -> None:
        self._bar = tqdm(total=total, desc=description, disable=True if quiet else None, leave=False)

    def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
        del preview
        self._bar.update(steps)

    def grow(self, steps: int) -> None:
        if self._bar.total is not None:
            self._bar.total += steps
            self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class LoggedProgress(NothingToClose):
    """A `Progress` where there is no terminal: a line in the log from time to time, with the time left.

    Args:
        seconds: between two lines; what takes less says nothing.
    """

    def __init__(self, total: int, description: str, seconds: float = 30.0) -> None:
        self._total, self._description, self._seconds = total, description, seconds
        self._done = 0
        self._start = self._said = time.monotonic()

    def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
        del preview
        self._done += steps
        now = time.monotonic()
        if now - self._said < self._seconds or self._done >= self._total:
            return
        self._said = now
        left = (now - self._start) / self._done * (self._total - self._done)
        log.info(
            "%s: %d of %d, about %s left", self._description, self._done, self._total, tqdm.format_interval(left)
        )

    def grow(self, steps: int) -> None:
        self._total += steps


class PlainHost:
    """A host for the command line and Python: torch's device, tqdm, folders below `models_dir`.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" ...; None takes CUDA when there is one, else the CPU.
        models_dir: folder that holds `headsup/`, `checkpoints/`, `diffusers/` as ComfyUI's `models` does.
        extra_paths: further folders per kind, as read from an `extra_model_paths.yaml`.
        quiet: no progress display.
    """

    def __init__(
        self,
        device: str | torch.device | None = None,
        models_dir: Path | None = None,
        extra_paths: dict[str, list[Path]] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self._device = pick_device(device)
        self._models_dir = models_dir
        self._extra_paths = extra_paths or {}
        self._quiet = quiet
        self._loaded: list[weakref.ref[nn.Module]] = []

    @property
    def device(self) -> torch.device:
        return self._device

    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        trim_heap()
        if self._device.type != "cpu":
            self._make_room(modules, bytes_needed)
        for module in modules:
            module.to(self._device)

    def _make_room(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        """Where memory on the device is short, bring back what was loaded longest ago: other models' networks."""
        alive = [module for each in self._loaded if (module := each()) is not None]
        others = [module for module in alive if not any(module is wanted for wanted in modules)]
        coming = sum(_bytes_of(module, self._device) for module in modules)
        while others and self.free_memory() < coming + bytes_needed:
            others.pop(0).to("cpu")
            self.release_memory()
        self._loaded = [weakref.ref(module) for module in (*others, *modules)]

    def free_memory(self) -> int:
        if self._device.type == "cuda":
            free, _total = torch.cuda.mem_get_info(self._device)
            cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            return free + cached
        return psutil.virtual_memory().available

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_out_of_memory(error)

    def release_memory(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def progress(self, total: int, description: str = "restoring") -> Progress:
        """A bar on a terminal (of bars within each other the outer one stands above), else lines in the log."""
        if self._quiet or sys.stderr.isatty():
            return TqdmProgress(total, description, quiet=self._quiet)
        return LoggedProgress(total, description)

    def check_cancelled(self) -> None:
        """Ctrl-C raises KeyboardInterrupt by itself."""

    def model_folders(self, kind: str) -> list[Path]:
        """The folders that `find_model` reads for `kind`, first the one that wins; they need not exist."""
        first = [] if self._models_dir is None else [self._models_dir / kind]
        return first + self._extra_paths.get(kind, [])

    def find_model(self, kind: str, name: str) -> Path:
        folders = self.model_folders(kind)
        looked: list[str] = []
        for folder in folders:
            path = resolve_inside(folder, name)
            if os.path.exists(path):
                return path
            absent = why_absent(path)
            looked.append(str(folder) if absent == MISSING else f"{path}, which {absent}")
        where = ", ".join(looked) or "no folder (give --models-dir)"
        raise ModelFileError(f"model {name!r} not found; looked in {where}")


def _bytes_of(module: nn.Module, device: torch.device) -> int:
    """What the weights of `module` take on `device` that are not there yet."""
    return sum(each.numel() * each.element_size() for each in module.parameters() if each.device.type != device.type)


def pick_device(device: str | torch.device | None) -> torch.device:
    """The asked device, or CUDA when there is one, else the CPU. Raises `InputError` when it cannot be used."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r} is not a torch device: use cpu, cuda, cuda:0 or mps") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} was asked for, but torch sees no CUDA device: use --device cpu")
    return picked
