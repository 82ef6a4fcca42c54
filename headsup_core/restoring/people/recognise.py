"""Who is in the pictures that are restored, and what the model is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...faces import NOBODY, DetectionOptions, FaceAnalyzer, Faces, analyzer_of, load_face_analyzer
from ...faces.face import Face
from ...host import Host
from ...identity.assignment import Assignment, assign, default_threshold
from ...identity.equal_quality.photo_score import TELLING_EYES
from ..headsup_model import HeadsUpModel
from ..session import Session
from .conditions import KnownFace, known_face
from .identity_score import scores_of

FOR_PEOPLE = DetectionOptions()
"""Which faces are looked for when there are people: the smaller a face, the more it needs a reference."""
MOST_NAMED = 8
"""Faces that a note names one by one."""


@dataclass(frozen=True, eq=False)
class People:
    """The faces of a batch and whose they are.

    Attributes:
        faces: with names and scores, in pixels of the input.
        assignments: of each picture, face by face.
        told: of each picture, index of a face -> what the model is told of it; in pixels of the input.
        injects: whether it is told at all.
        recogniser: the analyzer that told them apart.
    """

    faces: Faces
    assignments: tuple[tuple[Assignment, ...], ...]
    told: tuple[dict[int, KnownFace], ...]
    injects: bool
    recogniser: FaceAnalyzer

    def known(self, picture: int, size: torch.Size, margin: int) -> dict[int, KnownFace]:
        """By face, what the model is told of a picture that is enlarged to `size` and continued by `margin` pixels."""
        if not self.injects:
            return {}
        y, x = size[0] / self.faces.height, size[1] / self.faces.width
        return {
            index: replace(one, face=one.face.scaled(x, y).moved(margin, margin))
            for index, one in self.told[picture].items()
        }

    def lines(self, restored: Faces) -> list[str]:
        """A line for each face.

        Args:
            restored: the same faces after the identity gate, when that looked at them.
        """
        several = len(self.faces) > 1
        return [
            f"{f'picture {index + 1}, ' * several}{one}{self._how(index, one, restored[index][one.face])}"
            for index, decided in enumerate(self.assignments)
            for one in decided
        ]

    def _how(self, picture: int, one: Assignment, restored: Face) -> str:
        if one.identity is None:
            return ""
        known, scores = self.told[picture].get(one.face), scores_of(restored)
        sent_back = scores is not None and scores.outcome == "uninjected"
        if known is None or not self.injects or sent_back:
            return ", not conditioned"
        return f", conditioned by reference{known.choice.reason and f' ({known.choice.reason})'}"


@torch.no_grad()
def recognise(
    image: torch.Tensor, enlarged: torch.Tensor, session: Session, faces: Faces | None, notes: list[str]
) -> People | None:
    """Find and assign the faces of `image` `[B,3,h,w]` to the people of the session's model; None when it knows nobody.

    Args:
        enlarged: `[B,3,H,W]`, the plain enlargement.
        faces: of `image`; None: they are looked for.
        notes: gets what could not be done.
    """
    model, one_step = session.model, session.one_step
    if not model.identities:
        return None
    used = recogniser_for(faces, session.analyzer, session.host)
    if faces is None:
        faces = used.detect(image, FOR_PEOPLE)
    without = [str(index + 1) for index, found in enumerate(faces) if not found]
    if without:
        which = f" in picture {', '.join(without)}" if len(faces) > 1 else ""
        notes.append(f"no face was found{which}: nobody could be recognised there")
    named, decided = assign(image, faces, model.identities, used, model.match_threshold, enlarged)
    torn = [(number, face) for number, found in enumerate(decided, 1) for face in found if face.torn]
    if _only_strangers(named) and not torn:
        least = default_threshold(used.embedder_id) if model.match_threshold is None else model.match_threshold
        names = " or ".join(identity.name for identity in model.identities)
        notes.append(
            f"nobody is like {names} (a score of {least:g} is needed, 1 = two good photos), so no photo was used: "
            "lower the match threshold, or assign the face by hand"
        )
    for number, face in torn:
        where = f"picture {number}, " if len(decided) > 1 else ""
        notes.append(
            f"{where}face {face.face} could be {' or '.join(face.torn)}, their photos are about as like it: "
            "none was used; assign the face by hand"
        )
    notes.extend(_bold_guesses(named))
    if not one_step.takes_reference:
        notes.append(f"{one_step.card.name} takes no reference: people were recognised, but not injected")
    pictures = image.split(1)
    told = tuple(_told(found, picture, model, notes) for picture, found in zip(pictures, named, strict=True))
    if model.identity_strength == 0:
        notes.append("identity strength 0: the people were recognised, not injected")
    return People(named, decided, told, model.identity_strength > 0, used)


def _told(
    faces: Sequence[Face], picture: torch.Tensor, model: HeadsUpModel, notes: list[str]
) -> dict[int, KnownFace]:
    """What the model is told of the faces of one picture `[1,3,h,w]`, by index."""
    by_name = {identity.name: identity for identity in model.identities}
    told: dict[int, KnownFace] = {}
    for index, face in enumerate(faces):
        if face.identity in (None, NOBODY) or face.identity not in by_name or not model.one_step.takes_reference:
            continue
        known = known_face(face, by_name[face.identity], picture)
        if known is None:
            notes.append(f"{face.identity} has no photos, and {model.card.name} takes nothing else")
        else:
            told[index] = known
    return told


def _bold_guesses(named: Faces) -> list[str]:
    """What to say of the faces that are too small for it to be sure whose they are, and nobody said so."""
    bold = [
        f"picture {number}, face {index}" if len(named) > 1 else f"face {index}"
        for number, found in enumerate(named, 1)
        for index, face in enumerate(found)
        if face.guessed and face.identity and face.eye_distance < TELLING_EYES
    ]
    if not bold:
        return []
    which = ", ".join(bold[:MOST_NAMED]) + f" and {len(bold) - MOST_NAMED} more" * (len(bold) > MOST_NAMED)
    return [
        f"{which}: whose it is was guessed, which is often wrong where the eyes are less than {TELLING_EYES:g} px "
        "apart, as here: look whether it is right, and assign the face by hand"
    ]


def _only_strangers(named: Faces) -> bool:
    """Whether there are faces, and nobody has a person or was said to be nobody."""
    everybody = [face.identity for found in named for face in found]
    return bool(everybody) and all(identity is None for identity in everybody)


def recogniser_for(faces: Faces | None, analyzer: FaceAnalyzer | None, host: Host) -> FaceAnalyzer:
    """The given one, that of the faces when it can recognise them, or the default."""
    if analyzer is not None:
        return analyzer
    finder = None if faces is None else analyzer_of(faces, host)
    return finder if finder is not None and finder.embedder_id else load_face_analyzer(host=host)
