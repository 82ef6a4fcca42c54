"""How alike a face is to the person it is assigned to, before and after restoring, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from ...faces.drawing import short_name
from ...faces.face import Face
from ...identity.equal_quality.photo_score import Evidence

Outcome = Literal["injected", "uninjected", "unscored"]

OUTCOME_WORDS: Mapping[Outcome, str] = {
    "injected": "restored with the reference",
    "uninjected": "restored without the reference",
    "unscored": "not scored",
}
"""What is seen at the face."""
OUTCOME_LABELS: Mapping[Outcome, str] = {
    "injected": "with reference",
    "uninjected": "no reference",
    "unscored": "not scored",
}
"""The same where there is little room."""

AS_ALIKE = 0.05
"""Differences of a calibrated similarity up to this are called none, as the identity gate allows them."""


@dataclass(frozen=True)
class IdentityScore:
    """Calibrated similarities of one face: 0 = strangers, 1 = two good photos of one person; None: not measured.

    Attributes:
        before: the plain enlargement and the person.
        uninjected: restored without the person, and the person.
        injected: restored with the person, and the person.
        after: what is returned, after colour fix, strength and mask, and the person.
        outcome: which picture the face is taken from; "unscored": nothing could be measured, it is as it was restored.
        reason: why it is not the injected one, or what the gate would have done; "" when all is well.
        evidence: what the gate decided on; None: there was nothing to decide.
        sure: the score that the evidence comes to: how sure it is, 0 to 1, that the photo is of this person.
    """

    before: float | None
    uninjected: float | None
    injected: float | None
    after: float | None
    outcome: Outcome
    reason: str = ""
    evidence: Evidence | None = None
    sure: float | None = None

    @property
    def change(self) -> str:
        """before -> after, from 0 to 1 with two decimals; "?" for what was not measured."""
        return f"{_number(self.before)} -> {_number(self.after)}"

    @property
    def change_in_words(self) -> str:
        """before -> after in words."""
        if self.before is None or self.after is None:
            return "not comparable"
        change = self.after - self.before
        return "as alike as before" if abs(change) <= AS_ALIKE else "more alike" if change > 0 else "less alike"

    @property
    def said(self) -> str:
        """What came of the face, and why."""
        return f"{OUTCOME_WORDS[self.outcome]}{self.reason and f' ({self.reason})'}"

    def __str__(self) -> str:
        without = "" if self.uninjected is None else f", without the reference {_number(self.uninjected)}"
        sure = "" if self.sure is None else f", photo {self.sure:.2f}"
        return f"identity {self.change}{without}{sure}: {self.said}"


def _number(score: float | None) -> str:
    return "?" if score is None else f"{min(1.0, max(0.0, score)):.2f}"


@dataclass(frozen=True, eq=False)
class ScoredFace(Face):
    """A face that the gate has looked at.

    Attributes:
        scores: how alike to its person before and after restoring, and what came of it.
    """

    scores: IdentityScore | None = None


def with_scores(face: Face, scores: IdentityScore) -> ScoredFace:
    """`face` with these scores."""
    if isinstance(face, ScoredFace):
        return replace(face, scores=scores)
    return ScoredFace(**{field.name: getattr(face, field.name) for field in fields(Face)}, scores=scores)


def scores_of(face: Face) -> IdentityScore | None:
    """The scores of a face; None when the gate did not look at it."""
    return face.scores if isinstance(face, ScoredFace) else None


def score_label(index: int, face: Face) -> str:
    """Name, identity before -> after in numbers and words, and what came of the face, where it was scored; else who it
    is."""
    name = face.identity or ("unknown" if face.identity is None else "nobody")
    title = f"{index}: {short_name(name)}"
    scores = scores_of(face)
    if scores is None:
        return title
    changes = [] if scores.outcome == "unscored" else [scores.change, scores.change_in_words]
    return "\n".join([title, *changes, OUTCOME_LABELS[scores.outcome]])
