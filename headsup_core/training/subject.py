"""What the one training loop asks of whatever is trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import Dataset

from .processes import Processes

Batch = dict[str, torch.Tensor]
"""Samples by the names of their parts, each part stacked to `[B,...]`."""
Losses = dict[str, torch.Tensor]
"""Weighted scalar terms by name; their sum is minimised."""


@dataclass(frozen=True, eq=False)
class Workplace:
    """Where a run takes place.

    Attributes:
        processes: device, precision, and whether there are others.
        folder: of the run; a subject may keep prepared data there.
    """

    processes: Processes
    folder: Path

    @property
    def device(self) -> torch.device:
        return self.processes.device


class Learner(Protocol):
    """A network with an optimizer of its own, which learns beside the subject's networks."""

    def step(self, processes: Processes, grad_clip: float = math.inf) -> None:
        """One step along the gradients gathered since the last one."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        ...


class Subject(ABC):
    """What is trained: networks, their samples and losses, what a sheet shows, what is exported.

    To train something new, write a subclass, a `RunConfig` with its settings, and a line in
    `commands/learning/train.py`. The loop (`trainer.Trainer`) brings optimizer, schedule, averaged weights,
    checkpoints that resume exactly, several processes, accumulated gradients and the log.

    A constructor takes (configuration, `Workplace`); it may draw from torch's global random state, which the loop
    seeds.
    """

    networks: nn.Module
    """Everything that is trained, on any device: the loop moves it in place. Its state is what a checkpoint keeps."""

    @property
    def learners(self) -> Mapping[str, Learner]:
        """What learns beside the networks, by name; none unless overridden."""
        return {}

    def begin(self) -> None:  # noqa: B027 - most subjects start from what the constructor made
        """Called once in the life of a run, before its first step: the place to take over weights of a file."""

    @abstractmethod
    def samples(self, length: int) -> Dataset[Batch]:
        """The run's samples; item i must depend on the configuration and i alone, so that a resumed run goes on with
        the very samples it would have seen."""

    @abstractmethod
    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        """The terms for a batch on the networks' device. What is drawn comes from `chance` (on the CPU) or from torch's
        global state, which the loop seeds for each step."""

    def teach(self, chance: torch.Generator, share: float) -> dict[str, float]:
        """Let the learners gather gradients, times `share`, on the batch that `losses` saw last.

        Returns:
            Their losses by name.
        """
        del chance, share
        return {}

    def sheet(self, averaged: nn.Module) -> torch.Tensor | None:
        """A picture `[1,3,H,W]` in 0..1 of what `averaged`, a copy of the networks, can do; None: there is none."""
        del averaged
        return None

    @abstractmethod
    def export(self, path: Path, averaged: nn.Module) -> None:
        """Write the model with `averaged`, a copy of the networks, as the file that is used and published."""
