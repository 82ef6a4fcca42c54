"""Which options the model of a file can be loaded with, and their defaults, found without reading its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..option_fields import OptionField, declared_options
from .face_restorers.through_onnx import SUFFIX as ONNX
from .face_restorers.through_spandrel import find_face_restorer
from .file_formats.headsup_file import is_headsup_file, read_model_record
from .file_formats.weights_files import read_names
from .load_options import AdaptedOptions, DetailOptions
from .systems import find_system
from .systems.system import System


def options_of_file(path: Path) -> dict[str, Any]:
    """The options that `load_one_step` takes for a HeadsUp file, a face restorer's or a system's adapter: name -> what
    the model has when nothing is given. None: a text of the system's own.

    Raises:
        ModelFileError: the file is of no known kind, damaged, or cannot be looked into without reading it whole.
    """
    if path.suffix.lower() == ONNX:
        return {}
    file = read_names(path)
    if is_headsup_file(file):
        detail = read_model_record(file).detail
        return {} if detail is None else dict.fromkeys(declared_options(DetailOptions), detail)
    restorer = find_face_restorer(file)
    return options_of_system(find_system(file)) if restorer is None else _defaults(restorer.options)


def options_of_system(system: System) -> dict[str, Any]:
    """The options of its adapters, as `options_of_file`."""
    return _defaults(system.options) | _defaults(AdaptedOptions)


def _defaults(options: type) -> dict[str, Any]:
    found: Mapping[str, OptionField] = declared_options(options)
    return {name: field.default for name, field in found.items()}
