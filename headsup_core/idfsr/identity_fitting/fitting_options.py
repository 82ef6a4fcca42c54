"""How long, how fast and on what."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ...option_fields import check_options, option

FEWEST_PHOTOS = 2
"""One to learn from, and one to see whether that helps."""
MAX_PHOTOS = 10
"""The paper sweeps 2 to 10 and finds the knee at about 5."""


@dataclass(frozen=True)
class FittingOptions:
    """How long and how fast; the paper prints none of it.

    Attributes:
        scales: by which the photos' LRs are reduced.
        check_every: steps between two looks at the held-out photo.
        patience: looks without a better loss after which the fitting stops.
        save_every: steps between two saved states.

    Raises:
        InputError: a number out of its range.
    """

    steps: int = option(
        200,
        "At most so many steps. One photo is held out: fitting stops when that one no longer gains, and nothing is "
        "stored when it never did.",
        minimum=1,
        maximum=10000,
    )
    learning_rate: float = option(
        0.05,
        "How fast the embedding moves, in standard deviations between people.",
        minimum=0.0001,
        maximum=100,
        step=0.01,
    )
    batch: int = option(8, "Examples a step.", minimum=1)
    scales: tuple[int, ...] = (8, 16)
    seed: int = option(0, "The same seed gives the same embedding.", minimum=0, maximum=2**32 - 1)
    check_every: int = 20
    patience: int = 4
    save_every: int = 20

    def __post_init__(self) -> None:
        check_options(self)
        if not self.scales or min(self.scales) < 1:
            raise InputError(f"scales {self.scales}: at least one, each 1 or more")
