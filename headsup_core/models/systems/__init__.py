"""The published one-step systems, one file each, found by what their files hold."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from importlib import import_module

from ...errors import InputError, ModelFileError
from ...option_fields import OptionField, declared_options
from ..face_restorers.known_restorers import FACE_RESTORERS, FaceRestorer
from ..file_formats.weights_files import WeightsFile
from ..load_options import AdaptedOptions, DetailOptions
from .system import System


def _declared() -> tuple[System, ...]:
    """The `SYSTEMS` of the modules in this folder; modules without are parts of a system."""
    modules = [import_module(f".{found.name}", __name__) for found in pkgutil.iter_modules(__path__)]
    return tuple(system for module in modules for system in getattr(module, "SYSTEMS", ()))


SYSTEMS = _declared()

COMPANIONS = frozenset(name for system in SYSTEMS for name in system.companions)
"""Files that lie beside an adapter and are none themselves."""


SAVED_ORDER = (
    "detail", "patch_size", "process_size", "lambda_pix", "lambda_sem", "guidance_scale", "negative_prompt", "fidelity",
    "decoder",
)  # fmt: skip
"""Options in the order in which saved workflows hold their values. Those that came since the last release are not named
here, and stand behind these."""


def load_options(
    systems: tuple[System | FaceRestorer, ...] = (*SYSTEMS, *FACE_RESTORERS),
) -> dict[str, OptionField]:
    """Every option that some model can be loaded with, by name, for nodes and commands: `SAVED_ORDER`, then what else
    systems and face restorers have.

    The help of a system's option begins with the systems that have it.

    Raises:
        ValueError: two systems declare an option of one name differently, which one input could not serve.
    """
    found: dict[str, OptionField] = {}
    owners: dict[str, list[str]] = {}
    for system in systems:
        for name, field in declared_options(system.options).items():
            if found.setdefault(name, field) != field:
                raise ValueError(f"{system.name} declares {name} otherwise than {owners[name][0]}: name it differently")
            owners.setdefault(name, []).append(system.name)
    marked = {
        name: replace(field, help=f"Only for {', '.join(owners[name])}. {field.help}")
        for name, field in found.items()
    }
    options = {**declared_options(DetailOptions), **marked, **declared_options(AdaptedOptions)}
    saved = [name for name in SAVED_ORDER if name in options]
    return {name: options[name] for name in (*saved, *(name for name in options if name not in saved))}


def find_system(file: WeightsFile, system: str | None = None) -> System:
    """The system of an adapter file, by its keys, or the one named.

    Systems with the same keys (OSEDiff and OSEDiff-Face) are told apart by the file's name.

    Raises:
        InputError: no system of that name.
        ModelFileError: the file is of no known system, or not of the one named.
    """
    known = {one.id: one for one in SYSTEMS}
    if system is not None and system not in known:
        raise InputError(f"system {system!r} is unknown: choose {', '.join(known)}")
    matching = [one for one in SYSTEMS if one.recognises(file)]
    if system is not None:
        if known[system] not in matching:
            found = ", ".join(one.name for one in matching) or _some_keys(file)
            raise ModelFileError(f"{file.path} is not a {known[system].name} file: it holds {found}")
        return known[system]
    if not matching:
        raise ModelFileError(
            f"{file.path} is of no known system ({', '.join(one.name for one in SYSTEMS)}): "
            f"it holds {_some_keys(file)}; choose a file of one of these"
        )
    marked = [one for one in matching if one.file_mark and one.file_mark in file.path.stem.lower()]
    return (marked or [one for one in matching if not one.file_mark])[0]


def _some_keys(file: WeightsFile) -> str:
    return ", ".join(sorted(map(str, file.content))[:4]) + " ..." if file.content else "nothing"
