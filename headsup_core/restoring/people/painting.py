"""Which faces of a batch the painter paints, and the painting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..session import Run, Session
from ..toned import Tones
from .conditions import KnownFace
from .face_painter import FacePainter, PaintedFace, paint_all, split_known
from .recognise import People


@dataclass(frozen=True, eq=False)
class Painting:
    """The known faces of a batch that are painted.

    Attributes:
        faces: of each picture, index of the face -> what is known of it, in pixels of the plain enlargement.
    """

    painter: FacePainter
    people: People
    session: Session
    faces: tuple[Mapping[int, KnownFace], ...]

    @classmethod
    def of(cls, people: People | None, session: Session, size: tuple[int, int], notes: list[str]) -> Painting | None:
        """None without a painter, or where it has nothing to paint; `notes` gets what is painted.

        Args:
            size: (height, width) of the plain enlargement.
        """
        painter = session.model.painter
        if painter is None:
            return None
        if people is None:
            notes.append(f"{painter.name} paints faces of people whose photos it has, and nobody was named")
            return None
        if not all(people.faces):
            notes.append(
                "faces with eyes less than 4 px apart are rarely found: cut such a face out, upright and square, and "
                "restore it alone (--aligned)"
            )
        factor = size[0] / people.faces.height
        found = tuple(
            split_known(people.known(index, torch.Size(size), 0), painter, factor) for index in range(len(people.faces))
        )
        painted, others = (sum(len(faces[which]) for faces in found) for which in (1, 0))
        notes.append(f"faces painted by {painter.name}: {painted}; restored by {session.one_step.card.name}: {others}")
        return cls(painter, people, session, tuple(faces for _, faces in found)) if painted else None

    def left_over(self, index: int, known: Mapping[int, KnownFace]) -> dict[int, KnownFace]:
        """Those of the `known` faces of picture `index` that are the one-step model's."""
        return {number: one for number, one in known.items() if number not in self.faces[index]}

    def painted(
        self, index: int, picture: torch.Tensor, enlarged: torch.Tensor, tones: Tones, run: Run
    ) -> torch.Tensor | None:
        """The restored `picture` `[1,3,H,W]` of that index with its faces painted; None when it has none."""
        people = {person.name: person for person in self.session.model.identities}
        known = tones.references(index, self.faces[index], picture.shape[-2:])
        tasks = [
            PaintedFace(enlarged, one, people[self.faces[index][number].name], self.people.recogniser, run.strength)
            for number, one in known.items()
        ]
        if not tasks:
            return None
        return tones.apply(paint_all(picture, tasks, self.painter, run.host, run.progress), index)
