"""Who is in the picture, where exactly, and how sure we are."""

from .analyzer import DetectionOptions, FaceAnalyzer, Licence
from .face import LANDMARK_NAMES, NOBODY, Face
from .faces import Faces, in_order
from .registry import BACKENDS, DEFAULT_ANALYZER, analyzer_of, load_face_analyzer

__all__ = [
    "BACKENDS",
    "DEFAULT_ANALYZER",
    "LANDMARK_NAMES",
    "NOBODY",
    "DetectionOptions",
    "Face",
    "FaceAnalyzer",
    "Faces",
    "Licence",
    "analyzer_of",
    "in_order",
    "load_face_analyzer",
]
