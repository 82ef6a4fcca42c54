"""Face analyzers by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ..errors import InputError
from ..host import Host, PlainHost
from .analyzer import AnalyzerBase
from .backends.bundled import BundledAnalyzer
from .backends.dlib import LIBRARIES, DlibAnalyzer
from .backends.facexlib import FacexlibAnalyzer
from .backends.insightface import InsightFaceAnalyzer
from .backends.opencv import OpenCvAnalyzer
from .faces import Faces

BACKENDS: Mapping[str, type[AnalyzerBase]] = {
    backend.name: backend
    for backend in (DlibAnalyzer, InsightFaceAnalyzer, OpenCvAnalyzer, FacexlibAnalyzer, BundledAnalyzer)
}
"""Importing them imports none of their libraries: the constructors do."""


def default_analyzer() -> str:
    """Name of the analyzer that needs no file: dlib's, or our own where dlib is not installed."""
    there = all(find_spec(library) is not None for library in LIBRARIES)
    return DlibAnalyzer.name if there else BundledAnalyzer.name


DEFAULT_ANALYZER = default_analyzer()


def load_face_analyzer(
    name: str = DEFAULT_ANALYZER, host: Host | None = None, **options: Any  # noqa: ANN401 - as the backend takes them
) -> AnalyzerBase:
    """A face analyzer.

    Args:
        name: one of `BACKENDS`: "dlib" and "bundled" need no file; the others need some, which `python -m headsup_core
            download` gets where their licences allow it.
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


def analyzer_of(faces: Faces, host: Host | None = None) -> AnalyzerBase | None:
    """The analyzer that found the faces, loaded again; None for faces that were made by hand.

    Raises:
        InputError: an analyzer that the registry does not know, or whose library is not installed.
        ModelFileError: its files are not where `host` looks.
    """
    if not faces.analyzer:
        return None
    name, options = parse_analyzer_id(faces.analyzer)
    if name not in BACKENDS:
        raise InputError(f"the faces were found by {faces.analyzer!r}, which cannot be loaded: pass the analyzer")
    return load_face_analyzer(name, host, **options)


def parse_analyzer_id(analyzer_id: str) -> tuple[str, dict[str, str]]:
    """Name and options, as `load_face_analyzer` takes them, of a `FaceAnalyzer.analyzer_id`."""
    name, _, pack = analyzer_id.partition(":")
    return name, {"pack": pack} if pack else {}
