"""HeadsUp: one-step diffusion portrait restoration.

    import headsup_core as hu
    model = hu.load_model("headsup-tiny")
    result = hu.restore(image, model, scale=4)      # image [B,3,H,W] in 0..1 -> result.image [B,3,4H,4W]
"""

from .errors import HeadsUpError, InputError, ModelFileError
from .faces import DetectionOptions, Face, FaceAnalyzer, Faces, load_face_analyzer
from .host import Host, PlainHost
from .identity import Identity, compare, encode_identity, encode_people, load_identity, save_identity
from .idfsr.known_faces import load_model
from .restoring.headsup_model import HeadsUpModel
from .restoring.options import RestoreOptions
from .restoring.pipeline import RestoreResult, restore

__all__ = [
    "DetectionOptions",
    "Face",
    "FaceAnalyzer",
    "Faces",
    "HeadsUpError",
    "HeadsUpModel",
    "Host",
    "Identity",
    "InputError",
    "ModelFileError",
    "PlainHost",
    "RestoreOptions",
    "RestoreResult",
    "compare",
    "encode_identity",
    "encode_people",
    "load_face_analyzer",
    "load_identity",
    "load_model",
    "restore",
    "save_identity",
]
