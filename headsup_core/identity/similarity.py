"""How alike two embeddings are, on one scale for all recognisers: 0 = strangers, 1 = two good photos of one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import InputError

Verdict = Literal["same person", "unsure", "different people"]


@dataclass(frozen=True)
class Calibration:
    """Mean cosines of a recogniser.

    Attributes:
        same: of two clean photos of one person.
        different: of clean photos of two people.
        accept, reject: on the calibrated scale; from `accept` on "same person", below `reject` "different people".
        measured: False when the means are an assumption.
    """

    same: float
    different: float
    accept: float = 0.6
    reject: float = 0.4
    measured: bool = True

    def score(self, cosine: float) -> float:
        """(cosine - different) / (same - different)."""
        return (cosine - self.different) / (self.same - self.different)

    def verdict(self, score: float) -> Verdict:
        """What a score says in words."""
        if score >= self.accept:
            return "same person"
        return "unsure" if score >= self.reject else "different people"


ASSUMED = Calibration(0.65, 0.0, measured=False)
"""For recognisers trained with a margin loss that nobody measured here: strangers are about orthogonal."""

CALIBRATIONS: Mapping[str, Calibration] = {
    "dlib_resnet_v1": Calibration(0.9871, 0.8379),
}
"""Measured by `python -m headsup_core identity calibrate` on clean London pairs; see docs/faces.md."""


@dataclass(frozen=True)
class Similarity:
    """How alike two faces are.

    Attributes:
        cosine: raw.
        score: calibrated.
    """

    cosine: float
    score: float
    verdict: Verdict
    embedder_id: str
    measured: bool

    def __str__(self) -> str:
        doubt = "" if self.measured else f"; {self.embedder_id} is not calibrated, 0.65 and 0 are assumed"
        return f"{self.verdict} (score {self.score:.2f}, 1 = two good photos; cosine {self.cosine:.3f}{doubt})"


def compare(a: torch.Tensor, b: torch.Tensor, embedder_id: str) -> Similarity:
    """Two unit vectors `[D]` of one recogniser.

    Raises:
        InputError: different lengths: they are of different recognisers.
    """
    if a.shape != b.shape:
        raise InputError(
            f"embeddings of {len(a)} and {len(b)} numbers cannot be compared: they are of different recognisers"
        )
    cosine = float((a.double() * b.double()).sum())
    calibration = calibration_of(embedder_id)
    score = calibration.score(cosine)
    return Similarity(cosine, score, calibration.verdict(score), embedder_id, calibration.measured)


def calibration_of(embedder_id: str) -> Calibration:
    """The measured means, or the assumed ones."""
    return CALIBRATIONS.get(embedder_id, ASSUMED)


@dataclass(frozen=True)
class MeasuredMeans:
    """What `measure` found.

    Attributes:
        same, different: mean cosines.
        false_accept, false_reject: shares of different pairs at or above `accept`, of same pairs below `reject`.
        unsure: shares of (same, different) pairs between the two.
    """

    same: float
    different: float
    people: int
    same_pairs: int
    different_pairs: int
    false_accept: float
    false_reject: float
    unsure: tuple[float, float]


def measure(people: Sequence[Sequence[torch.Tensor]], accept: float = 0.6, reject: float = 0.4) -> MeasuredMeans:
    """Mean cosines within and between people.

    Args:
        people: for each person the unit vectors `[D]` of their photos.

    Raises:
        InputError: fewer than two people, or nobody with two photos.
    """
    known = [torch.stack(list(vectors)).double() for vectors in people if vectors]
    if len(known) < 2 or all(len(vectors) < 2 for vectors in known):
        raise InputError(
            f"{len(known)} people, {sum(len(vectors) > 1 for vectors in known)} of them with two photos: at least two "
            "people are needed, and one with two photos"
        )
    within = torch.cat([_above_diagonal(vectors @ vectors.T) for vectors in known])
    between = torch.cat([(a @ b.T).flatten() for index, a in enumerate(known) for b in known[index + 1 :]])
    means = Calibration(float(within.mean()), float(between.mean()), accept, reject)
    same_scores = (within - means.different) / (means.same - means.different)
    different_scores = (between - means.different) / (means.same - means.different)

    def between_thresholds(scores: torch.Tensor) -> float:
        return float(((scores >= reject) & (scores < accept)).double().mean())

    return MeasuredMeans(
        same=means.same,
        different=means.different,
        people=len(known),
        same_pairs=len(within),
        different_pairs=len(between),
        false_accept=float((different_scores >= accept).double().mean()),
        false_reject=float((same_scores < reject).double().mean()),
        unsure=(between_thresholds(same_scores), between_thresholds(different_scores)),
    )


def _above_diagonal(matrix: torch.Tensor) -> torch.Tensor:
    rows, columns = torch.triu_indices(len(matrix), len(matrix), offset=1)
    return matrix[rows, columns]
