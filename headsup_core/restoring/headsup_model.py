"""The handle that travels: loaded weights, and the people that this branch of the work knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..identity.identity import Identity
from ..models.bases.base import Base
from ..models.loading import load_one_step
from ..models.one_step import OneStepModel
from ..models.record import ModelCard
from .people.face_painter import FacePainter

IDENTITY_STRENGTH = 0.65
"""How much of a person's reference counts by default. Measured (docs/identity.md): the mean of a face restored with and
one without is nearer to the truth than either, and keeps nearly all that the photo gives in likeness."""


@dataclass(frozen=True, eq=False)
class HeadsUpModel:
    """What `load_model` returns and what travels between nodes: shared weights and what is added to them. Immutable.

    Attributes:
        identities: people who may be in the pictures.
        identity_strength: how much of their reference counts, 0 (bit-equal to none) to 1.
        match_threshold: least calibrated similarity of a face and a person; None: the recogniser's own.
        device: where its networks shall compute, for programs that ask it of whoever loads the model ("auto": theirs to
            choose); `restore()` computes on the device of its host.
        base: what the adapter was laid over, where other handles share it; kept so that it is read once.
        painter: paints the faces of those people that are too small for the one-step model; None: it restores all.
    """

    one_step: OneStepModel
    identities: tuple[Identity, ...] = ()
    identity_strength: float = IDENTITY_STRENGTH
    match_threshold: float | None = None
    device: str = "auto"
    base: Base | None = None
    painter: FacePainter | None = None

    def with_identities(
        self,
        identities: Iterable[Identity],
        strength: float = IDENTITY_STRENGTH,
        match_threshold: float | None = None,
    ) -> HeadsUpModel:
        """A new handle on the same weights that knows these people; this one is not changed.

        Raises:
            InputError: `strength` outside of 0..1, a threshold outside of -1..1, or two people of one name.
        """
        if not 0.0 <= strength <= 1.0:
            raise InputError(f"identity strength {strength}: must be between 0 (no reference) and 1")
        if match_threshold is not None and not -1.0 <= match_threshold <= 1.0:
            raise InputError(f"match threshold {match_threshold}: must be between -1 and 1 (1 = two good photos)")
        people = tuple(identities)
        names = [person.name for person in people]
        if doubles := [name for index, name in enumerate(names) if name in names[:index]]:
            raise InputError(f"there are two people called {doubles[0]!r}: give them different names")
        return replace(self, identities=people, identity_strength=strength, match_threshold=match_threshold)

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.card.name if self.painter is None else f"{self.card.name} with {self.painter.name}"

    @property
    def card(self) -> ModelCard:
        """Name, licence and training data of the weights."""
        return self.one_step.card


def load_model(
    model: str | Path | None = None,
    **loading: Any,  # noqa: ANN401 - as of the one-step models
) -> HeadsUpModel:
    """Load a one-step restorer, as a handle that knows nobody. Arguments and errors: `models.loading.load_one_step`."""
    return HeadsUpModel(load_one_step(model, **loading))
