"""What speaks for and against a photo being of the person in a picture, and the one score that it comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from ..similarity import calibration_of
from .face_quality import Quality

TOLD, GUESSED = 0.25, 0.4
"""Least scores for which a photo is used: where somebody said who it is the evidence has to be against it, where it was
guessed it has to be for it, and clearly more so than for anybody else who is free (`AHEAD`)."""
AHEAD = 1.3
"""So many times the odds of the next person's photo those of a guessed person's have to be."""
EYES, NOISE, EXPLAINED = (4.0, 64.0), (0.0, 0.1), (-0.15, 0.05)
"""In which something was measured; beyond, the ends count, so that no evidence decides alone."""
TELLING_EYES, TINY_EYES = 8.0, 5.0
"""Pixels between the eyes below which a guess is often wrong, and mostly a guess (docs/identity.md)."""
GUESSED_SMALL, GUESSED_TINY = 0.6, 0.8
"""Least scores of guesses there: with `GUESSED` half of all strangers to three people are taken for one of them."""
UNIT_EYES, UNIT_NOISE, UNIT_EXPLAINED = 16.0, 0.05, 0.1


@dataclass(frozen=True)
class Evidence:
    """What was measured of one face and one photo.

    Attributes:
        cosine: of the embeddings of the face in the input and of the photo at the face's quality, both enlarged or
            restored (`FairComparison`); None: the recogniser makes nothing of one of them.
        explained: how much better the face restored with the photo explains the input than the face restored without,
            a difference of two `structure_match`; 0 before anything is restored.
        quality: of the face in the input.
    """

    cosine: float | None
    explained: float
    quality: Quality

    def terms(self, embedder_id: str) -> tuple[float, float, float, float, float, float]:
        """What the score's logit is linear in: 1, the eye distance in octaves from 16 px, the noise in units of 0.05,
        the calibrated similarity, that times the octaves, and the explanation in units of 0.1."""
        eyes = min(EYES[1], max(EYES[0], self.quality.eyes))
        noise = min(NOISE[1], max(NOISE[0], self.quality.noise))
        octaves = math.log2(eyes / UNIT_EYES)
        explained = min(EXPLAINED[1], max(EXPLAINED[0], self.explained))
        alike = UNKNOWN if self.cosine is None else calibration_of(embedder_id).score(self.cosine)
        return 1.0, octaves, noise / UNIT_NOISE, alike, alike * octaves, explained / UNIT_EXPLAINED


UNKNOWN = 0.5
"""The similarity that counts where there is none: between the same person and others."""


@dataclass(frozen=True)
class Weights:
    """What `Evidence.terms` are multiplied by, in their order."""

    offset: float
    octaves: float
    noise: float
    alike: float
    alike_octaves: float
    explained: float


ASSUMED = Weights(-3.0, 0.0, 0.0, 6.0, 0.0, 1.0)
"""For recognisers that nobody measured: a face half as alike as two good photos of one person could be either."""
WEIGHTS: Mapping[str, Weights] = {
    "dlib_resnet_v1": Weights(-4.417, 0.097, -0.203, 9.208, -0.533, 0.161),
}
"""By embedder id; from `python -m headsup_core benchmark gate --fit`, see docs/identity.md."""


def photo_score(evidence: Evidence, embedder_id: str) -> float:
    """How sure it is that the photo is of this person, 0 to 1, where as many photos are right as wrong.

    The logistic function of the weighted sum of the terms.
    """
    weights = astuple(WEIGHTS.get(embedder_id, ASSUMED))
    logit = sum(weight * term for weight, term in zip(weights, evidence.terms(embedder_id), strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def too_close(score: float, next_score: float) -> bool:
    """Whether two people's scores for one face, each 0 to 1, leave open which of the two it is: odds below `AHEAD`."""
    return score * (1 - next_score) < AHEAD * next_score * (1 - score)


def least_score(guessed: bool, eyes: float) -> float:
    """From which score on a photo is used for a face with `eyes` pixels of the input between the eyes."""
    if not guessed:
        return TOLD
    return GUESSED_TINY if eyes < TINY_EYES else GUESSED_SMALL if eyes < TELLING_EYES else GUESSED
