"""The identity gate: a face keeps its injected restoration only while it stays the person that it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...faces.faces import Faces
from ...faces.masks import faces_mask
from ...faces.reference import MASK_GROW
from ...identity.similarity import calibration_of, compare
from ..options import GateMode
from .identity_score import IdentityScore, Outcome, scores_of, with_scores

SURROUNDINGS = 4.0
"""Eye distances from the middle of the landmarks within which a face is embedded and replaced."""
FEATHER = 0.3
"""Eye distances over which a face that falls back is blended with what surrounds it."""
GROW = MASK_GROW + FEATHER
"""The region that falls back is whole wherever the face's condition reached, so that nothing of it stays."""


@dataclass(frozen=True)
class GateRules:
    """Thresholds on the calibrated scale; where the defaults come from: docs/identity.md.

    Attributes:
        fall: the injected face may be less like its person by this much than the uninjected one.
        keep: least similarity of the injected face to the uninjected one; None: where the recogniser's "same person"
            begins.
        worse: a restored face may be less like its person by this much than the plainly enlarged one. Counts only
            where that one is not of a different person to the recogniser: from a stranger a face should move away.
        testified: where restoring without a reference lost the person (`worse`), the injected face need not stay the
            uninjected one's: the plain enlargement has to be like the person by this much, and the injected face like
            the enlargement.
        least_eyes: pixels between the eyes in the input below which a face is not scored.
    """

    fall: float = 0.05
    keep: float | None = None
    worse: float = 0.2
    testified: float = 0.5
    least_eyes: float = 5.0


DEFAULT_RULES = GateRules()


@dataclass(frozen=True, eq=False)
class Candidates:
    """The three pictures that a face may be taken from, `[1,3,H,W]` in 0..1, and its faces in their pixels.

    Attributes:
        before: the plain enlargement.
        plain: restored without any identity.
        injected: restored with the identities; None: the model injects nothing.
        scale: pixels of these pictures per pixel of the input.
        spill: how many pixels beyond the mask of a face its condition can reach: masks are latents wide.
    """

    before: torch.Tensor
    plain: torch.Tensor
    injected: torch.Tensor | None
    faces: tuple[Face, ...]
    scale: float
    spill: float = 0.0


def gate(
    candidates: Candidates,
    people: Mapping[str, torch.Tensor],
    analyzer: FaceAnalyzer,
    mode: GateMode = "on",
    rules: GateRules = DEFAULT_RULES,
) -> tuple[torch.Tensor, tuple[Face, ...]]:
    """One picture in which each face of a known person comes from the best candidate that keeps the person.

    With two anchors, since a wrong photo can only raise the similarity to its own person: the injected face must not be
    less like that person than the uninjected one, and must stay the same person as the uninjected one (or as the
    enlargement, where that is the person and restoring without the reference lost them). Else the face is taken from
    the uninjected picture, and when restoring itself lost the face or the person, from the plain enlargement. Outside
    of the regions of such faces the picture is the injected one. A wrong photo of somebody alike, or one that changes
    little, can still pass.

    Args:
        people: name -> unit vector `[D]` of the analyzer's recogniser; faces of others are left alone.
        mode: "report": faces are scored, and the reason says what the gate would have done; "off": neither.

    Returns:
        The picture `[1,3,H,W]`, and the faces with `scores` (`after` is None until `scored_after`).
    """
    restored = candidates.plain if candidates.injected is None else candidates.injected
    if mode == "off":
        return restored, candidates.faces
    faces = tuple(
        with_scores(face, _judged(face, candidates, people[face.identity], analyzer, rules, mode))
        if face.identity is not None and face.identity in people
        else face
        for face in candidates.faces
    )
    return _composed(candidates, restored, faces), faces


def scored_after(
    picture: torch.Tensor, faces: Sequence[Face], people: Mapping[str, torch.Tensor], analyzer: FaceAnalyzer
) -> tuple[Face, ...]:
    """`faces`, in pixels of the final `picture` `[1,3,H,W]`, with `scores.after`."""

    def scored(face: Face) -> Face:
        scores = scores_of(face)
        if scores is None or face.identity is None or scores.outcome == "unscored":
            return face
        after = _similarity(_embedding(picture, face, analyzer), people.get(face.identity), analyzer)
        return with_scores(face, replace(scores, after=after))

    return tuple(scored(face) for face in faces)


def _judged(
    face: Face,
    candidates: Candidates,
    person: torch.Tensor,
    analyzer: FaceAnalyzer,
    rules: GateRules,
    mode: GateMode,
) -> IdentityScore:
    least = rules.least_eyes * candidates.scale
    as_restored: Outcome = "uninjected" if candidates.injected is None else "injected"
    if face.eye_distance < least:
        eyes = face.eye_distance / candidates.scale
        return _unscored(f"eyes {eyes:.1f} px apart in the input, at least {rules.least_eyes:g} are needed")
    enlarged = _embedding(candidates.before, face, analyzer)
    if enlarged is None:
        return _unscored(f"{analyzer.name} cannot recognise the face in the enlargement")
    plain = _embedding(candidates.plain, face, analyzer)
    injected = None if candidates.injected is None else _embedding(candidates.injected, face, analyzer)
    score = IdentityScore(
        before=_similarity(enlarged, person, analyzer),
        uninjected=_similarity(plain, person, analyzer),
        injected=_similarity(injected, person, analyzer),
        kept=_similarity(injected, plain, analyzer),
        after=None,
        outcome=as_restored,
    )
    outcome, reasons = as_restored, list[str]()
    worse = _worse(score.uninjected, score.before, rules, analyzer, "restored")
    witnesses = (score.before, _similarity(injected, enlarged, analyzer))
    testified = bool(worse) and all(each is not None and each >= rules.testified for each in witnesses)
    if outcome == "injected" and (reason := _against_injected(score, testified, rules, analyzer)):
        outcome = "uninjected"
        reasons.append(reason)
    if outcome == "uninjected" and (reason := worse or _lost(_similarity(plain, enlarged, analyzer), analyzer)):
        outcome = "enlarged"
        reasons.append(reason)
    said = "; ".join(reasons)
    if mode == "report" and outcome != as_restored:
        return replace(score, reason=f"the gate, set to report, changed nothing: {said}")
    return replace(score, outcome=outcome, reason=said)


def _unscored(reason: str) -> IdentityScore:
    return IdentityScore(None, None, None, None, None, "unscored", reason)


def _against_injected(score: IdentityScore, testified: bool, rules: GateRules, analyzer: FaceAnalyzer) -> str:
    """Why the injected face cannot stay; "" when it can.

    Args:
        testified: the enlargement stands for the uninjected face, which is the person no more.
    """
    if score.injected is None:
        return "with the reference the face cannot be recognised any more"
    if score.uninjected is None or score.kept is None:
        return "without the reference the face cannot be recognised, so there is nothing to compare with"
    keep = calibration_of(analyzer.embedder_id).accept if rules.keep is None else rules.keep
    if score.kept < keep and not testified:
        return (
            f"with the reference it is no longer the same face: {score.kept:.2f} like the one restored without, "
            f"at least {keep:.2f} is needed"
        )
    if score.injected < score.uninjected - rules.fall:
        return (
            f"the reference made it less like the person: {score.injected:.2f} with, {score.uninjected:.2f} without, "
            f"at most {rules.fall:.2f} less is allowed"
        )
    return _worse(score.injected, score.before, rules, analyzer, "restored with the reference")


def _worse(restored: float | None, before: float | None, rules: GateRules, analyzer: FaceAnalyzer, how: str) -> str:
    """Why a restored face cannot take the place of the plain enlargement; "" when it can."""
    if restored is None or before is None:
        return f"{how}, the face cannot be recognised any more"
    if before >= calibration_of(analyzer.embedder_id).reject and restored < before - rules.worse:
        return (
            f"{how}, it is less like the person than before: {restored:.2f} after {before:.2f}, at most "
            f"{rules.worse:.2f} less is allowed"
        )
    return ""


def _lost(as_enlarged: float | None, analyzer: FaceAnalyzer) -> str:
    """Why the face restored without a reference is not the input's, whoever that is; "" when it is."""
    reject = calibration_of(analyzer.embedder_id).reject
    if as_enlarged is None or as_enlarged >= reject:
        return ""
    return (
        f"restored, it is not the face of the input any more: {as_enlarged:.2f} like the enlargement, at least "
        f"{reject:.2f} is needed"
    )


def _composed(candidates: Candidates, restored: torch.Tensor, faces: Sequence[Face]) -> torch.Tensor:
    """`restored` with the regions of the faces that fall back taken from where they come from.

    Where regions overlap, each face has its share, so that a face that falls back does not take its neighbour along.
    """
    sources: dict[Outcome, torch.Tensor] = {"uninjected": candidates.plain, "enlarged": candidates.before}
    judged = [(face, scores_of(face)) for face in faces]
    scored = [(face, sources.get(scores.outcome, restored)) for face, scores in judged if scores is not None]
    fallen = [(face, source) for face, source in scored if source is not restored]
    if not fallen:
        return restored
    (height, width), spill = restored.shape[-2:], candidates.spill
    claimed = torch.zeros(1, 1, height, width)
    for face, _ in scored:
        rows, columns = _window(face, height, width, spill)
        claimed[..., rows, columns] += region(face, rows, columns, spill)
    result = restored.clone()
    for face, source in fallen:
        rows, columns = _window(face, height, width, spill)
        share = region(face, rows, columns, spill) / claimed[..., rows, columns].clamp(min=1)
        result[..., rows, columns] += share * (source[..., rows, columns] - restored[..., rows, columns])
    return result


def region(face: Face, rows: slice, columns: slice, spill: float = 0.0) -> torch.Tensor:
    """Where a face that falls back is replaced, `[1,1,h,w]` in 0..1, in h rows and w columns of the picture.

    1 wherever `faces.reference.face_location` is above 0 and `spill` pixels around, then a smooth step to 0 over
    `FEATHER` eye distances, so that neighbouring pixels differ by at most 1.5 / (FEATHER * eye distance).
    """
    here = Faces(((face.moved(-columns.start, -rows.start),),), rows.stop - rows.start, columns.stop - columns.start)
    return faces_mask(here, grow=GROW + spill / max(face.eye_distance, 1.0), feather=FEATHER)


def _window(face: Face, height: int, width: int, spill: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of the picture around a face; empty when it lies outside."""
    x, y = face.landmarks.mean(0).tolist()
    reach = SURROUNDINGS * face.eye_distance + 2 * spill  # an ellipse grows up to 1.4 times as far along its long axis
    rows = slice(min(height, max(0, int(y - reach))), max(0, min(height, int(y + reach) + 1)))
    columns = slice(min(width, max(0, int(x - reach))), max(0, min(width, int(x + reach) + 1)))
    return rows, columns


def _embedding(picture: torch.Tensor, face: Face, analyzer: FaceAnalyzer) -> torch.Tensor | None:
    """Unit vector `[D]` of a face in a picture; None when the recogniser can make nothing of it."""
    rows, columns = _window(face, *picture.shape[-2:])
    # only what surrounds the face: a recogniser may go over its whole picture once more for each face
    window = picture[..., rows, columns].clamp(0, 1)
    here = Faces(((face.moved(-columns.start, -rows.start),),), window.shape[-2], window.shape[-1])
    try:
        embedded = analyzer.embed(window, here)
    except InputError:  # the face lies outside of the picture, or the recogniser makes nothing of it
        return None
    return embedded[0][0].embedding


def _similarity(a: torch.Tensor | None, b: torch.Tensor | None, analyzer: FaceAnalyzer) -> float | None:
    return None if a is None or b is None else compare(a, b, analyzer.embedder_id).score
