"""Who somebody is: identities from photos, files of them, and how alike two faces are."""

from .assignment import Assignment, assign
from .encoding import encode_identity, encode_people
from .identity import Identity, PhotoReport
from .identity_file import load_identity, save_identity
from .merging import merged
from .overrides import with_overrides
from .similarity import Similarity, compare

__all__ = [
    "Assignment",
    "Identity",
    "PhotoReport",
    "Similarity",
    "assign",
    "compare",
    "encode_identity",
    "encode_people",
    "load_identity",
    "merged",
    "save_identity",
    "with_overrides",
]
