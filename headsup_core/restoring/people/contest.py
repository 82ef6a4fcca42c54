"""One face as several models restored it: which result is taken, and how it is laid into the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...identity.equal_quality.face_quality import structure_match
from ...identity.equal_quality.fair_comparison import embedding_at
from ...identity.identity import Identity
from ...identity.similarity import compare
from .composing import face_window, region

SLACK = 0.1
"""By so much may a result explain the picture worse than the best of them, as `structure_match` measures it. It is a
choice, and was not fitted to anything."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face in the result of one model.

    Attributes:
        model: its number, in order of preference.
        face: as it came out of that restoration, in pixels of the result.
        alike: calibrated similarity to the person; None: nobody is known, or the recogniser makes nothing of it.
        explains: `structure_match` with the picture, -1 to 1.
        pixels: the result around the face, `[1,3,h,w]`; None: the picture that others are laid into shows it, or it
            cannot be taken any more.
    """

    model: int
    face: Face
    alike: float | None
    explains: float
    pixels: torch.Tensor | None = None

    @property
    def rank(self) -> tuple[float, int]:
        """The larger is taken, of those that explain the picture."""
        return (-1e9 if self.alike is None else self.alike, -self.model)


@dataclass
class Contest:
    """The candidates for one face, at least one of them when a winner is asked for."""

    candidates: list[Candidate] = field(default_factory=list[Candidate])

    @property
    def least(self) -> float:
        """What a result must explain."""
        return max(one.explains for one in self.candidates) - SLACK

    @property
    def winner(self) -> Candidate:
        """The most alike of those that explain the picture; of nobody known, the first of those."""
        least = self.least
        return max((one for one in self.candidates if one.explains >= least), key=lambda one: one.rank)

    def add(self, candidate: Candidate) -> None:
        """Take part. Pixels are let go of results that can never be taken: they explain too little (what is needed only
        rises), or another one explains as much and is more alike."""
        self.candidates.append(candidate)
        least = self.least
        self.candidates = [
            replace(one, pixels=None) if one.explains < least or self._beaten(one) else one for one in self.candidates
        ]

    def _beaten(self, one: Candidate) -> bool:
        return any(other.explains >= one.explains and other.rank > one.rank for other in self.candidates)

    def line(self, names: Sequence[str]) -> str:
        """Whose result was taken, and why not the others', in words."""
        winner = self.winner
        name = winner.face.identity
        if name is None or winner.alike is None:
            whose = "nobody known" if name is None else f"{name}, not recognised"
            return f"{whose}: from {names[winner.model]}, the first that explains the picture"
        others = [self._other(one, names) for one in self.candidates if one is not winner]
        return f"{name}: from {names[winner.model]}, {winner.alike:.2f} alike ({'; '.join(others) or 'alone'})"

    def _other(self, one: Candidate, names: Sequence[str]) -> str:
        alike = "not recognised" if one.alike is None else f"{one.alike:.2f}"
        lacks = f", explains the picture by {one.explains:.2f}, not {self.least:.2f}"
        return f"{names[one.model]} {alike}{lacks if one.explains < self.least else ''}"

    def record(self, names: Sequence[str]) -> dict[str, Any]:
        """The same in numbers, as JSON can hold it."""
        return {
            "identity": self.winner.face.identity,
            "model": names[self.winner.model],
            "candidates": [
                {"model": names[one.model], "alike": one.alike, "explains": one.explains} for one in self.candidates
            ],
        }


def candidate(
    model: int,
    face: Face,
    pictures: tuple[torch.Tensor, torch.Tensor],
    person: Identity | None,
    analyzer: FaceAnalyzer,
) -> Candidate:
    """A face of a result, judged.

    Args:
        face: in pixels of the result.
        pictures: the input `[1,3,h,w]` and the result `[1,3,H,W]`, in 0..1.
        person: who it is; None: nobody known.
    """
    small, result = pictures
    here = face.scaled(small.shape[-1] / result.shape[-1], small.shape[-2] / result.shape[-2])
    vector = None if person is None else embedding_at(result, face, analyzer)
    alike = None
    if person is not None and vector is not None:
        alike = compare(vector, person.embedding_for(analyzer), analyzer.embedder_id).score
    rows, columns = face_window(face, *result.shape[-2:])
    return Candidate(model, face, alike, structure_match(result, small, here), result[..., rows, columns].clone())


def laid_together(picture: torch.Tensor, winners: Sequence[Candidate]) -> torch.Tensor:
    """`picture` `[1,3,H,W]` with the faces of other results in it, each fading into it at its border.

    Where the regions of faces overlap each has its share, those too that stay as they are.
    """
    if all(one.pixels is None for one in winners):
        return picture
    height, width = picture.shape[-2:]
    claimed = torch.zeros(1, 1, height, width)
    for one in winners:
        rows, columns = face_window(one.face, height, width)
        claimed[..., rows, columns] += region(one.face, rows, columns)
    result = picture.clone()
    for one in winners:
        if one.pixels is not None:
            rows, columns = face_window(one.face, height, width)
            share = region(one.face, rows, columns) / claimed[..., rows, columns].clamp(min=1)
            result[..., rows, columns] += share * (one.pixels - picture[..., rows, columns])
    return result
