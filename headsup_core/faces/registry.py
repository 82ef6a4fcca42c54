"""Face analyzers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..host import Host, PlainHost
from .analyzer import AnalyzerBase
from .backends.dlib import DlibAnalyzer
from .backends.facexlib import FacexlibAnalyzer
from .backends.insightface import InsightFaceAnalyzer
from .backends.opencv import OpenCvAnalyzer

BACKENDS: Mapping[str, type[AnalyzerBase]] = {
    backend.name: backend for backend in (DlibAnalyzer, InsightFaceAnalyzer, OpenCvAnalyzer, FacexlibAnalyzer)
}
"""The default first. Importing them imports none of their libraries: the constructors do."""
DEFAULT_ANALYZER = DlibAnalyzer.name


def load_face_analyzer(name: str = DEFAULT_ANALYZER, host: Host | None = None, **options: Any) -> AnalyzerBase:  # noqa: ANN401 - as the backend takes them
    """A face analyzer.

    Args:
        name: one of `BACKENDS`: "dlib" needs nothing; the others need files, which `python -m headsup_core download`
            gets where their licences allow it.
        host: where to look for model files and on which device to compute; None: the CPU or GPU, no model folder.
        options: "insightface": `pack`; "opencv": `detector`, `recogniser`; "facexlib": `detector` (file names).

    Raises:
        InputError: unknown name or option, or the backend's library is not installed (with the pip line).
        ModelFileError: a model file is missing or damaged.
    """
    if name not in BACKENDS:
        raise InputError(f"face analyzer {name!r} is unknown: choose one of {', '.join(BACKENDS)}")
    backend: Any = BACKENDS[name]
    try:
        return backend(host or PlainHost(), **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise InputError(f"face analyzer {name}: {str(error).split('() ')[-1]}") from error
        raise
