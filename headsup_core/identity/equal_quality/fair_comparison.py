"""How alike a face in a picture and a person's photo are when both are equally bad, and equally restored."""

from __future__ import annotations

import torch

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...faces.faces import Faces
from ...imaging.resizing import resize
from ..similarity import compare
from .face_quality import Quality, photo_at_quality, quality_of
from .photo_score import Evidence, photo_score
from .restored_faces import EYES, RESTORED_FOR, restored_face

ENLARGED = 1 / 3
"""How much the plain enlargement counts where the face is restored, too."""
SURROUNDINGS = 4.0
"""Eye distances from the middle of the landmarks within which a face is embedded."""


class FairComparison:
    """One face of a picture, which photos are compared with.

    Args:
        picture: the input `[1,3,h,w]` in 0..1.
        enlarged: its plain enlargement `[1,3,H,W]`, in which a recogniser sees more of a small face.
        face: in pixels of `picture`.
    """

    def __init__(self, picture: torch.Tensor, enlarged: torch.Tensor, face: Face, analyzer: FaceAnalyzer) -> None:
        self._picture, self._analyzer, self._face = picture, analyzer, face
        self._size = (enlarged.shape[-2], enlarged.shape[-1])
        self._large = face.scaled(enlarged.shape[-1] / picture.shape[-1], enlarged.shape[-2] / picture.shape[-2])
        self.quality: Quality = quality_of(picture, face)
        self._restores = analyzer.embedder_id in RESTORED_FOR and face.eye_distance < EYES
        self._vectors = self._embedded(picture, enlarged)

    def cosine(self, photo: torch.Tensor) -> float | None:
        """With the face `[1,3,S,S]` in 0..1 of a photo, aligned (FFHQ), brought to the quality of the face in the
        picture; None when the recogniser makes nothing of one of them."""
        as_bad = photo_at_quality(photo, self._picture, self._face, self.quality.noise)
        others = self._embedded(as_bad, resize(as_bad, *self._size))
        if self._vectors is None or others is None:
            return None
        cosines = [
            compare(own, other, self._analyzer.embedder_id).cosine
            for own, other in zip(self._vectors, others, strict=True)
        ]
        return cosines[0] if len(cosines) == 1 else ENLARGED * cosines[0] + (1 - ENLARGED) * cosines[1]

    def score(self, photo: torch.Tensor) -> float | None:
        """How sure it is that the photo is of this person, 0 to 1, before anything is restored; None as above."""
        cosine = self.cosine(photo)
        if cosine is None:
            return None
        return photo_score(Evidence(cosine, 0.0, self.quality), self._analyzer.embedder_id)

    def _embedded(self, picture: torch.Tensor, enlarged: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
        """The face's vectors: in the enlargement of a picture `[1,3,h,w]` of the input's size, and perhaps restored;
        None when the recogniser makes nothing of one."""
        shown = [(enlarged, self._large)]
        if self._restores:
            shown.append(restored_face(picture, self._face))
        found = [embedding_at(each, face, self._analyzer) for each, face in shown]
        vectors = tuple(vector for vector in found if vector is not None)
        return vectors if len(vectors) == len(found) else None


def embedding_at(picture: torch.Tensor, face: Face, analyzer: FaceAnalyzer) -> torch.Tensor | None:
    """Unit vector `[D]` of a face in a picture `[1,3,H,W]`; None when the recogniser can make nothing of it."""
    height, width = picture.shape[-2:]
    x, y = face.landmarks.mean(0).tolist()
    reach = SURROUNDINGS * face.eye_distance
    top, left = min(height, max(0, int(y - reach))), min(width, max(0, int(x - reach)))
    # only what surrounds the face: a recogniser may go over its whole picture once more for each face
    part = picture[..., top : max(0, int(y + reach) + 1), left : max(0, int(x + reach) + 1)].clamp(0, 1)
    here = Faces(((face.moved(-left, -top),),), part.shape[-2], part.shape[-1])
    try:
        embedded = analyzer.embed(part, here)
    except InputError:  # the face lies outside of the picture, or the recogniser makes nothing of it
        return None
    return embedded[0][0].embedding
