"""What every training loop here has in common: rates, averages, shares, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch


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


def learning_rate(config: Schedule, step: int) -> float:
    """Linear warm-up, constant, linear fall to zero over the last `decay_steps`."""
    up = (step + 1) / max(1, config.warmup_steps)
    down = (config.steps - step) / max(1, config.decay_steps)
    return config.learning_rate * min(1.0, up, down)


def warm_average(
    decay: float, averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average whose memory grows with the run, so that the first weights are soon forgotten."""
    return averaged.lerp(current, 1 - min(decay, (1 + float(steps)) / (10 + float(steps))))


def one_thread(worker: int) -> None:
    """For `DataLoader`'s workers: the cores belong to the training."""
    del worker
    torch.set_num_threads(1)


def normalised(weights: Sequence[float]) -> list[float]:
    """Shares that sum to one."""
    total = sum(weights)
    return [weight / total for weight in weights]


def rooted_sources(record: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    """A YAML record's `sources`, their folders starting from `root`."""
    sources: list[dict[str, Any]] = [dict(source) for source in record["sources"]]
    return [source | {"folder": str(root / source["folder"])} for source in sources]
