"""A second model beside the first: faces of known people that are too small for the first are painted by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...faces.face import Face
from ...host import Host, Progress
from ...identity.identity import Identity
from .conditions import KnownFace


@dataclass(frozen=True, eq=False)
class PaintedFace:
    """A known face that is to be painted.

    Attributes:
        enlarged: the plain enlargement `[1,3,H,W]` in 0..1 that it is in.
        known: the face in its pixels, and the photo that is nearest to it.
        person: whose it is.
        analyzer: embeds the person where the painter needs another recogniser's vector than is known.
        strength: how much of what is painted counts, 0 to 1.
    """

    enlarged: torch.Tensor
    known: KnownFace
    person: Identity
    analyzer: FaceAnalyzer
    strength: float


SMALLEST_EYES = 2.0
"""Pixels between the eyes of the smallest faces that are looked for with a painter; of those few are found."""
SEARCHED = 600 * 600
"""Pixels of the largest picture in which they are looked for: the search takes as long as the eyes are near."""


def looked_for(painter: FacePainter | None, height: int, width: int, options: DetectionOptions) -> DetectionOptions:
    """`options` for a picture of that size, with smaller faces where nobody said how small and there is a painter."""
    if painter is None or options.min_eye_distance or height * width > SEARCHED:
        return options
    return replace(options, min_eye_distance=SMALLEST_EYES)


class FacePainter(Protocol):
    """Paints the faces of people whose photos are known, after those photos."""

    @property
    def name(self) -> str: ...

    @property
    def side(self) -> int:
        """Pixels a side of the upright faces that it paints."""
        ...

    @property
    def steps(self) -> int:
        """By how many steps a face advances the progress."""
        ...

    def wants(self, face: Face, factor: float) -> bool:
        """Whether it is better at a face than the first model; `face` in pixels of a picture enlarged by `factor`."""
        ...

    def paint(self, onto: torch.Tensor, task: PaintedFace, host: Host, progress: Progress) -> torch.Tensor:
        """`onto` `[1,3,H,W]` in 0..1 with the face painted where `faces.reference.face_location` is above 0; elsewhere
        every bit stays."""
        ...


def split_known(
    known: Mapping[int, KnownFace], painter: FacePainter | None, factor: float
) -> tuple[dict[int, KnownFace], dict[int, KnownFace]]:
    """Faces of an enlarged picture by whose they are: the first model's, and the painter's."""
    painted = {number: one for number, one in known.items() if painter is not None and painter.wants(one.face, factor)}
    return {number: one for number, one in known.items() if number not in painted}, painted


def paint_all(
    onto: torch.Tensor, tasks: Sequence[PaintedFace], painter: FacePainter, host: Host, progress: Progress
) -> torch.Tensor:
    """`onto` `[1,3,H,W]` in 0..1 with all faces painted; the first, which is the largest, lies on top."""
    progress.grow(painter.steps * len(tasks))
    for task in reversed(tasks):
        onto = painter.paint(onto, task, host, progress)
    return onto
