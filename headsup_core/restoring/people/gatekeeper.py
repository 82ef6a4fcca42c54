"""The identity gate over the pictures of a batch: what `restore()` keeps of it until the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...faces.faces import Faces
from ..options import GateMode
from ..session import Session
from .gate import Candidates, Known, gate, scored_after
from .identity_score import scores_of
from .recognise import People


class Gatekeeper:
    """Judges picture by picture, then scores what is returned.

    Args:
        faces: of the pictures, with the names of their people, in pixels of the input.
        people: of each picture, index of a face -> who it is.
        spill: pixels of the output beyond a face's mask that its condition can reach.
    """

    def __init__(
        self, faces: Faces, people: Sequence[Mapping[int, Known]], analyzer: FaceAnalyzer, mode: GateMode, spill: float
    ) -> None:
        self._faces, self._people, self._analyzer, self._spill = faces, people, analyzer, spill
        self._mode: GateMode = mode
        self._judged: list[tuple[Face, ...]] = []

    def choose(
        self, small: torch.Tensor, before: torch.Tensor, plain: torch.Tensor, injected: torch.Tensor | None
    ) -> torch.Tensor:
        """What is kept of the next picture: see `gate.gate`. `small` is `[1,3,h,w]`, the others `[1,3,H,W]`."""
        here = self._faces.scaled_to(*before.shape[-2:])[len(self._judged)]
        candidates = Candidates(small, before, plain, injected, here, self._spill)
        picture, judged = gate(candidates, self._people[len(self._judged)], self._analyzer, self._mode)
        self._judged.append(judged)
        return picture

    def scored(self, image: torch.Tensor, before: torch.Tensor) -> Faces:
        """The faces in pixels of the final `image` `[B,3,H,W]`, scored in it; `before` is what they were judged in."""
        judged = replace(
            self._faces, pictures=tuple(self._judged), height=before.shape[-2], width=before.shape[-1]
        ).scaled_to(image.shape[-2], image.shape[-1])
        pictures = tuple(
            scored_after(picture, here, known, self._analyzer)
            for picture, here, known in zip(image.split(1), judged, self._people, strict=True)
        )
        return replace(judged, pictures=pictures)


def gatekeeper_of(people: People | None, session: Session) -> Gatekeeper | None:
    """None when there is nobody to score, or the gate is off."""
    model, mode = session.model, session.options.identity_gate
    if people is None or mode == "off":
        return None
    analyzer, shown = people.recogniser, {face.identity for found in people.faces for face in found}
    vectors = {one.name: one.embedding_for(analyzer) for one in model.identities if one.name in shown}
    known = [_known(picture, people, vectors) for picture in range(len(people.faces))]
    spill = math.sqrt(2) * model.one_step.codec.factor  # the diagonal of a latent
    return Gatekeeper(people.faces, known, analyzer, mode, spill) if vectors else None


def _known(picture: int, people: People, vectors: Mapping[str, torch.Tensor]) -> dict[int, Known]:
    """Who is in a picture, by the face's number."""
    told = people.told[picture] if people.injects else {}
    return {
        index: Known(vectors[face.identity], told[index].crop if index in told else None)
        for index, face in enumerate(people.faces[picture])
        if face.identity is not None and face.identity in vectors
    }


def score_lines(faces: Faces, *, sent_back: bool = False) -> list[str]:
    """Each scored face in words; or why, of those only whose photo was not used, or would not have been."""
    several = len(faces) > 1
    return [
        f"{f'picture {picture + 1}, ' * several}face {index}: {face.identity}, {scores.said if sent_back else scores}"
        for picture, found in enumerate(faces)
        for index, face in enumerate(found)
        if (scores := scores_of(face)) is not None and (scores.reason or not sent_back)
    ]


def score_records(faces: Faces) -> list[dict[str, Any]]:
    """Each scored face in numbers, as JSON can hold it; scores are on the calibrated scale."""
    return [
        {"picture": picture, "face": index, "identity": face.identity, **asdict(scores)}
        for picture, found in enumerate(faces)
        for index, face in enumerate(found)
        if (scores := scores_of(face)) is not None
    ]
