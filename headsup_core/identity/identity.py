"""`Identity`: one person, known by a few photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..errors import InputError
from ..faces.alignment import FFHQ_512
from ..faces.analyzer import FaceAnalyzer, unit
from ..faces.face import Face
from ..faces.faces import Faces

CROP_SIDE = 512


@dataclass(frozen=True)
class PhotoReport:
    """What became of one photo.

    Attributes:
        photo: its number, from 1, or its file name.
        quality: 0..1, see `identity.quality`; 0 without a face.
        used: whether it went into the identity.
        reason: why not, or what is weak about it; "" when all is well.
        faces: how many were found in it; the largest was taken.
    """

    photo: str
    quality: float
    used: bool
    reason: str = ""
    faces: int = 1

    @property
    def surprising(self) -> bool:
        """Whether the user should hear of it without asking: it was left out, or shows more than one person."""
        return not self.used or self.faces > 1

    def __str__(self) -> str:
        verdict = "used" if self.used else "left out"
        return f"photo {self.photo}: {verdict}, quality {self.quality:.2f}{self.reason and ', ' + self.reason}"


@dataclass(frozen=True, eq=False)
class Identity:
    """A person.

    Attributes:
        name: what the person is called.
        embeddings: embedder id -> unit vector `[D]`.
        crops: the aligned faces of the photos that were used, `[n,3,512,512]` in 0..1 (template `FFHQ_512`), so that
            another analyzer can embed them, and a model can take one as its reference.
        fitted: model id -> embedding `[D]` fitted to this person for that model.
        photos: what became of each photo.
    """

    name: str
    embeddings: Mapping[str, torch.Tensor]
    crops: torch.Tensor
    fitted: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    photos: tuple[PhotoReport, ...] = ()

    def embedding_for(self, analyzer: FaceAnalyzer) -> torch.Tensor:
        """The unit vector `[D]` of an analyzer's recogniser; without a stored one, the crops are embedded.

        Raises:
            InputError: the identity has neither; both recognisers are named.
        """
        stored = self.embeddings.get(analyzer.embedder_id)
        if stored is not None:
            return stored
        if not len(self.crops):
            known = ", ".join(self.embeddings) or "none"
            raise InputError(
                f"identity {self.name!r} holds embeddings of {known} and no photos, the analyzer {analyzer.name} needs "
                f"{analyzer.embedder_id or 'a recogniser'}: encode the person again with that analyzer"
            )
        embedded = analyzer.embed(self.crops, aligned_faces(len(self.crops)))
        vectors = [face.embedding for faces in embedded for face in faces if face.embedding is not None]
        return unit(torch.stack(vectors).mean(0))


def aligned_faces(count: int) -> Faces:
    """The faces of aligned crops: nothing has to be detected."""
    face = Face((0.0, 0.0, CROP_SIDE - 1.0, CROP_SIDE - 1.0), FFHQ_512.clone(), 1.0)
    return Faces(((face,),) * count, CROP_SIDE, CROP_SIDE)
