"""Face analyzers: their files in ComfyUI's folders, and one analyzer for all nodes that ask for the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...headsup_core import ModelFileError
from ...headsup_core.faces import DEFAULT_ANALYZER, load_face_analyzer
from ...headsup_core.faces.backends import facexlib, insightface, opencv
from ...headsup_core.faces.registry import parse_analyzer_id
from ..bridge.comfy import folder_paths
from ..bridge.host import ComfyHost
from ..models.model_files import find_file, fingerprint

if TYPE_CHECKING:
    from ...headsup_core.faces import FaceAnalyzer, Faces
    from ...headsup_core.faces.analyzer import AnalyzerBase

KNOWN_PACKS = ("buffalo_l", "antelopev2", "buffalo_m", "buffalo_s", "buffalo_sc")
"""insightface's published packs; offered even when they are not there, so that a workflow loads on every machine."""
PACKS = "models"
"""Folder of the packs below `models/insightface`, as insightface itself keeps them."""
FILES = {
    opencv.OpenCvAnalyzer.name: (opencv.FOLDER, (opencv.YUNET, opencv.SFACE)),
    facexlib.FacexlibAnalyzer.name: (facexlib.FOLDER, (*facexlib.NETWORKS, facexlib.PARSENET)),
}

_shared: WeakValueDictionary[tuple[Any, ...], AnalyzerBase] = WeakValueDictionary()


def pack_choices() -> list[str]:
    """The packs that are there, then the other published ones."""
    found = packs_found()
    return found + [name for name in KNOWN_PACKS if name not in found]


def packs_found() -> list[str]:
    """Names of the folders in `models/insightface/models` with `.onnx` files, flat or nested."""
    roots = [Path(root, PACKS) for root in folder_paths.get_folder_paths(insightface.KIND)]
    folders = [folder for root in roots if root.is_dir() for folder in root.iterdir() if folder.is_dir()]
    return sorted(
        {
            folder.name
            for folder in folders
            if any(any(place.glob("*.onnx")) for place in (folder, folder / folder.name))
        }
    )


def files_of(backend: str, pack: str, host: ComfyHost) -> list[Path]:
    """The model files of an analyzer that are there.

    Raises:
        ModelFileError: an insightface pack is missing or empty.
        InputError: the pack's name leaves its folder.
    """
    if backend == insightface.InsightFaceAnalyzer.name:
        return sorted(insightface.find_pack(host, pack).glob("*.onnx"))
    folder, names = FILES.get(backend, ("", ()))
    found: list[Path] = []
    for name in names:
        try:
            found.append(find_file(folder, name))
        except ModelFileError:  # whether it is needed the analyzer knows
            continue
    return found


def load_shared_analyzer(backend: str, pack: str, device: str) -> AnalyzerBase:
    """An analyzer, loaded once for the same files and device while anyone uses it.

    Raises:
        ModelFileError, InputError: as the core's `load_face_analyzer`.
    """
    host = ComfyHost.on(device)
    state = [fingerprint(path) for path in files_of(backend, pack, host)]
    key = (backend, *state, str(host.device))
    analyzer = _shared.get(key)
    if analyzer is None:
        options = {"pack": pack} if backend == insightface.InsightFaceAnalyzer.name else {}
        analyzer = load_face_analyzer(backend, host, **options)
        _shared[key] = analyzer
    return analyzer


def analyzer_or_default(analyzer: FaceAnalyzer | None) -> FaceAnalyzer:
    """What is connected, else the analyzer that needs no files."""
    return load_shared_analyzer(DEFAULT_ANALYZER, "", "cpu") if analyzer is None else analyzer


def finder_of(faces: Faces) -> FaceAnalyzer | None:
    """The analyzer that found the faces, the same object while a node holds it; None for faces made by hand.

    Raises:
        ModelFileError, InputError: as the core's `load_face_analyzer`.
    """
    if not faces.analyzer:
        return None
    name, options = parse_analyzer_id(faces.analyzer)
    return load_shared_analyzer(name, options.get("pack", ""), "cpu" if name == DEFAULT_ANALYZER else "auto")


def recogniser_of(faces: Faces | None, analyzer: FaceAnalyzer | None = None) -> FaceAnalyzer:
    """What is connected, else what found the faces where it can recognise them, else the default."""
    if analyzer is not None:
        return analyzer
    finder = None if faces is None else finder_of(faces)
    return finder if finder is not None and finder.embedder_id else analyzer_or_default(None)
