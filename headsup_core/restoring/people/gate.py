"""The identity gate: whether a face was restored with the right person's photo, on the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...identity.equal_quality.face_quality import structure_match
from ...identity.equal_quality.fair_comparison import FairComparison, embedding_at
from ...identity.equal_quality.photo_score import TELLING_EYES, Evidence, least_score, photo_score
from ...identity.similarity import compare
from ..options import GateMode
from .composing import composed
from .identity_score import IdentityScore, scores_of, with_scores


@dataclass(frozen=True, eq=False)
class Candidates:
    """The pictures that a face may be taken from, `[1,3,H,W]` in 0..1, and its faces in their pixels.

    Attributes:
        small: the input `[1,3,h,w]`.
        before: its plain enlargement.
        plain: restored without any identity.
        injected: restored with the identities; None: the model injects nothing.
        spill: how many pixels beyond the mask of a face its condition can reach: masks are latents wide.
    """

    small: torch.Tensor
    before: torch.Tensor
    plain: torch.Tensor
    injected: torch.Tensor | None
    faces: tuple[Face, ...]
    spill: float = 0.0


@dataclass(frozen=True, eq=False)
class Known:
    """A person as the gate knows them.

    Attributes:
        vector: unit vector `[D]` of the analyzer's recogniser.
        photo: what the model was told of them, `[1,3,S,S]` in 0..1, aligned; None: nothing.
    """

    vector: torch.Tensor
    photo: torch.Tensor | None = None


def gate(
    candidates: Candidates, people: Mapping[int, Known], analyzer: FaceAnalyzer, mode: GateMode = "on"
) -> tuple[torch.Tensor, tuple[Face, ...]]:
    """One picture in which the faces whose photo the evidence speaks against are restored without it.

    The evidence: how alike the face in the input and the photo are at equal quality, and whether the face restored with
    the photo explains the input as well as the face restored without. It comes to one score (`photo_score`),
    which has to reach more for a face that was guessed than for one of which it was said who it is. Outside of the
    regions of the faces that fall back the picture is the injected one.

    Args:
        people: index of a face -> who it is; faces of others are left alone.
        mode: "report": faces are scored, and the reason says what the gate would have done; "off": neither.

    Returns:
        The picture `[1,3,H,W]`, and the faces with `scores` (`after` is None until `scored_after`).
    """
    restored = candidates.plain if candidates.injected is None else candidates.injected
    if mode == "off":
        return restored, candidates.faces
    faces = tuple(
        with_scores(face, _judged(face, candidates, people[index], analyzer, mode)) if index in people else face
        for index, face in enumerate(candidates.faces)
    )
    return composed(restored, candidates.plain, faces, candidates.spill), faces


def scored_after(
    picture: torch.Tensor, faces: Sequence[Face], people: Mapping[int, Known], analyzer: FaceAnalyzer
) -> tuple[Face, ...]:
    """`faces`, in pixels of the final `picture` `[1,3,H,W]`, with `scores.after`."""

    def scored(index: int, face: Face) -> Face:
        scores = scores_of(face)
        if scores is None or index not in people or scores.outcome == "unscored":
            return face
        after = _similarity(embedding_at(picture, face, analyzer), people[index].vector, analyzer)
        return with_scores(face, replace(scores, after=after))

    return tuple(scored(index, face) for index, face in enumerate(faces))


def _judged(
    face: Face, candidates: Candidates, known: Known, analyzer: FaceAnalyzer, mode: GateMode
) -> IdentityScore:
    enlarged = embedding_at(candidates.before, face, analyzer)
    if candidates.injected is None or known.photo is None:
        return IdentityScore(
            before=_similarity(enlarged, known.vector, analyzer),
            uninjected=_similarity(embedding_at(candidates.plain, face, analyzer), known.vector, analyzer),
            injected=None,
            after=None,
            outcome="uninjected",
        )
    evidence = measured(face, candidates, candidates.injected, known.photo, analyzer)
    sure = photo_score(evidence, analyzer.embedder_id)
    least = least_score(face.guessed, evidence.quality.eyes)
    score = IdentityScore(
        before=_similarity(enlarged, known.vector, analyzer),
        uninjected=_similarity(embedding_at(candidates.plain, face, analyzer), known.vector, analyzer),
        injected=_similarity(embedding_at(candidates.injected, face, analyzer), known.vector, analyzer),
        after=None,
        outcome="injected",
        evidence=evidence,
        sure=sure,
    )
    if sure >= least:
        return score
    small = f" and whose eyes are {evidence.quality.eyes:.0f} px apart" if evidence.quality.eyes < TELLING_EYES else ""
    unnamed = f" for a face that nobody named{small}" if face.guessed else ""
    reason = f"the photo seems to be of somebody else: score {sure:.2f}, at least {least:g} is needed{unnamed}"
    if mode == "report":
        return replace(score, reason=f"the gate, set to report, changed nothing: {reason}")
    insist = "give another photo; identity gate off or report uses this one all the same"
    return replace(score, outcome="uninjected", reason=f"{reason}; {insist}")


def measured(
    face: Face, candidates: Candidates, injected: torch.Tensor, photo: torch.Tensor, analyzer: FaceAnalyzer
) -> Evidence:
    """What speaks for and against `photo` at a face, which is in pixels of the enlarged pictures."""
    small, before = candidates.small, candidates.before
    here = face.scaled(small.shape[-1] / before.shape[-1], small.shape[-2] / before.shape[-2])
    comparison = FairComparison(small, before, here, analyzer)
    explained = structure_match(injected, small, here) - structure_match(candidates.plain, small, here)
    return Evidence(comparison.cosine(photo), explained, comparison.quality)


def _similarity(a: torch.Tensor | None, b: torch.Tensor, analyzer: FaceAnalyzer) -> float | None:
    return None if a is None else compare(a, b, analyzer.embedder_id).score
