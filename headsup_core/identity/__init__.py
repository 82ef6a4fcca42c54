"""Who somebody is: identities from photos, files of them, and how alike two faces are."""

from .encoding import encode_identity, encode_people
from .files import load_identity, save_identity
from .identity import Identity, PhotoReport
from .merging import merged
from .similarity import Similarity, compare

__all__ = [
    "Identity",
    "PhotoReport",
    "Similarity",
    "compare",
    "encode_identity",
    "encode_people",
    "load_identity",
    "merged",
    "save_identity",
]
