"""How long, how fast and on what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import InputError

MAX_PHOTOS = 10
"""The paper sweeps 2 to 10 and finds the knee at about 5."""


@dataclass(frozen=True)
class FittingOptions:
    """How long and how fast; the paper prints none of it.

    Attributes:
        learning_rate: of Adam, in standard deviations over the training's people.
        batch: examples a step.
        scales: by which the photos' LRs are reduced.
        check_every: steps between two looks at the held-out photo.
        patience: looks without a better loss after which the fitting stops.
        save_every: steps between two saved states.
    """

    steps: int = 200
    learning_rate: float = 0.05
    batch: int = 8
    scales: tuple[int, ...] = (8, 16)
    seed: int = 0
    check_every: int = 20
    patience: int = 4
    save_every: int = 20

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise InputError(f"{self.steps} steps of {self.batch}: both must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning rate {self.learning_rate}: must be above 0")
        if not self.scales or min(self.scales) < 1:
            raise InputError(f"scales {self.scales}: at least one, each 1 or more")
