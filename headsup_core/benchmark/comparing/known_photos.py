"""The people that a restorer is told about: each encoded once, from a clean photo."""

from __future__ import annotations

from pathlib import Path

from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...identity.encoding import encode_identity
from ...identity.identity import Identity
from ...image_files import read_picture
from ...training.data.people_by_name import person_of
from .cases import PHOTO_SIDE, fit

LEAST_EYES = 24.0
"""A good photo's eyes are further apart; looking for smaller faces takes seconds."""


class References:
    """Identities by photo."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer
        self._encoded: dict[Path, Identity] = {}

    def identity(self, photo: Path) -> Identity:
        """Whoever is in it. Raises `InputError` when it cannot be read or holds no large face."""
        if photo not in self._encoded:
            picture = fit(read_picture(photo).rgb, PHOTO_SIDE, 1)
            options = DetectionOptions(min_eye_distance=LEAST_EYES)
            self._encoded[photo] = encode_identity([picture], self._analyzer, person_of(photo), [photo.name], options)
        return self._encoded[photo]
