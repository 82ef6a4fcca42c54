"""How alike a face is to the person it is assigned to, before and after restoring, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["injected", "uninjected", "enlarged", "unscored"]

OUTCOME_WORDS: Mapping[Outcome, str] = {
    "injected": "restored with the reference",
    "uninjected": "restored without the reference",
    "enlarged": "not restored, only enlarged",
    "unscored": "not scored",
}
"""What is seen at the face."""
OUTCOME_LABELS: Mapping[Outcome, str] = {
    "injected": "with reference",
    "uninjected": "no reference",
    "enlarged": "only enlarged",
    "unscored": "not scored",
}
"""The same where there is little room."""

SURE, LIKELY = 0.9, 0.7
"""Least scores of a detector for these words."""
AS_ALIKE = 0.05
"""Differences of a calibrated similarity up to this are called none, as the identity gate allows them."""


def certainty(score: float) -> str:
    """A detector's score, 0..1, as one word."""
    if score >= SURE:
        return "sure"
    return "likely" if score >= LIKELY else "doubtful"


@dataclass(frozen=True)
class IdentityScore:
    """Calibrated similarities of one face: 0 = strangers, 1 = two good photos of one person; None: not measured.

    Attributes:
        before: the plain enlargement and the person.
        uninjected: restored without the person, and the person.
        injected: restored with the person, and the person.
        kept: restored with and without the person.
        after: what is returned, after colour fix, strength and mask, and the person.
        outcome: which picture the face is taken from; "unscored": nothing could be measured, it is as it was restored.
        reason: why it is not the injected one, or what the gate would have done; "" when all is well.
    """

    before: float | None
    uninjected: float | None
    injected: float | None
    kept: float | None
    after: float | None
    outcome: Outcome
    reason: str = ""

    @property
    def change(self) -> str:
        """before -> after, with two decimals; "?" for what was not measured."""
        return f"{_number(self.before)} -> {_number(self.after)}"

    @property
    def change_in_words(self) -> str:
        """before -> after in words."""
        if self.before is None or self.after is None:
            return "not comparable"
        change = self.after - self.before
        return "as alike as before" if abs(change) <= AS_ALIKE else "more alike" if change > 0 else "less alike"

    def __str__(self) -> str:
        without = "" if self.uninjected is None else f", without the reference {_number(self.uninjected)}"
        return f"identity {self.change}{without}: {OUTCOME_WORDS[self.outcome]}{self.reason and f' ({self.reason})'}"


def _number(score: float | None) -> str:
    return "?" if score is None else f"{score:.2f}"
