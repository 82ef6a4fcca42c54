"""Which options the model of a file can be loaded with, found without reading its tensors."""

from __future__ import annotations

from pathlib import Path

from ..option_fields import declared_options
from .face_restorers.through_onnx import SUFFIX as ONNX
from .face_restorers.through_spandrel import find_face_restorer
from .file_formats.headsup_file import is_headsup_file, read_model_record
from .file_formats.weights_files import read_names
from .load_options import AdaptedOptions, DetailOptions
from .systems import find_system
from .systems.system import System


def options_of_file(path: Path) -> tuple[str, ...]:
    """Names of the options that `load_one_step` takes for a HeadsUp file, a face restorer's or a system's adapter.

    Raises:
        ModelFileError: the file is of no known kind, damaged, or cannot be looked into without reading it whole.
    """
    if path.suffix.lower() == ONNX:
        return ()
    file = read_names(path)
    if is_headsup_file(file):
        return () if read_model_record(file).detail is None else tuple(declared_options(DetailOptions))
    restorer = find_face_restorer(file)
    return options_of_system(find_system(file)) if restorer is None else tuple(declared_options(restorer.options))


def options_of_system(system: System) -> tuple[str, ...]:
    """Names of the options of its adapters."""
    return (*declared_options(system.options), *declared_options(AdaptedOptions))
