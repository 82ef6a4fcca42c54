"""Learning rates, averaged weights and shares."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Literal, Protocol

import torch

Fall = Literal["linear", "cosine"]


class Schedule(Protocol):
    """The part of a configuration that decides the learning rate."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def steps(self) -> int: ...

    @property
    def warmup_steps(self) -> int: ...

    @property
    def decay_steps(self) -> int: ...

    @property
    def fall(self) -> Fall: ...


def learning_rate(config: Schedule, step: int) -> float:
    """Linear warm-up, constant, then the fall to zero over the last `decay_steps`."""
    up = (step + 1) / max(1, config.warmup_steps)
    down = min(1.0, (config.steps - step) / max(1, config.decay_steps))
    if config.fall == "cosine":
        down = (1 - math.cos(math.pi * down)) / 2
    return config.learning_rate * min(1.0, up, down)


FALL_OF_MINUTES = 1 / 3
"""Share of the minutes of a run over which the learning rate falls to zero."""


class TimeLimit:
    """Minutes that a run may take, counted from now on.

    Args:
        minutes: 0: no limit.
    """

    def __init__(self, minutes: float) -> None:
        self._seconds, self._started = minutes * 60, time.monotonic()

    def left(self) -> float:
        """Share of the time that is left: 1 without a limit, 0 when it is over."""
        if not self._seconds:
            return 1.0
        return max(0.0, 1 - (time.monotonic() - self._started) / self._seconds)

    def minutes_of(self, steps_left: float) -> float:
        """Minutes until the run ends, whose steps would take `steps_left` minutes more."""
        return min(steps_left, self.left() * self._seconds / 60) if self._seconds else steps_left


def warm_average(
    decay: float, averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average whose memory grows with the run, so that the first weights are soon forgotten."""
    return averaged.lerp(current, 1 - min(decay, (1 + float(steps)) / (10 + float(steps))))


def normalised(weights: Sequence[float]) -> list[float]:
    """Shares that sum to one."""
    total = sum(weights)
    return [weight / total for weight in weights]
