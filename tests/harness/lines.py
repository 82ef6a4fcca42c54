"""A subject of the training loop that is learnt in milliseconds: a line through noisy points, and who judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from headsup_core.training.losses.companions import Companion, Restoration
from headsup_core.training.run_config import RunConfig
from headsup_core.training.subject import Batch, Losses, Subject, Workplace


@dataclass(frozen=True, kw_only=True)
class LineConfig(RunConfig):
    """Attributes:
    noise: how much of the loss's own chance is in it.
    """

    noise: float = 0.0
    workers: int = 0
    warmup_steps: int = 2
    decay_steps: int = 2
    learning_rate: float = 0.1
    checkpoint_every: int = 2
    ema: float = 0.5


class Points(Dataset[Batch]):
    """Item i is (x, y) drawn by i alone."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        x = torch.randn(3, generator=torch.Generator().manual_seed(index))
        return {"x": x, "y": x.sum(0, keepdim=True) * 2 + 1}


class Judge(Companion):
    """Learns the mean of what is restored."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1), 0.1)

    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor:
        return 0.1 * self.network(restored.picture).square().mean()

    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor:
        return F.mse_loss(self.network(restored.picture.detach()), restored.picture.detach())


class LineSubject(Subject):
    """y of x."""

    def __init__(self, config: LineConfig, place: Workplace) -> None:
        self.config, self._place = config, place
        self.networks: nn.Module = nn.Linear(3, 1)
        self._judge = Judge()
        self._restored: Restoration | None = None
        self.begun = 0

    @property
    def learners(self) -> Mapping[str, Judge]:
        return {"judge": self._judge}

    def begin(self) -> None:
        self.begun += 1

    def samples(self, length: int) -> Points:
        return Points(length)

    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        found = self.networks(batch["x"])
        self._restored = Restoration(found, found)
        drawn = torch.randn((), generator=chance) + torch.randn(())  # of both sources of chance
        return {
            "line": F.mse_loss(found, batch["y"] + self.config.noise * drawn),
            "judge": self._judge.term(self._restored, chance),
        }

    def teach(self, chance: torch.Generator, share: float) -> dict[str, float]:
        assert self._restored is not None
        own = self._judge.gather(self._restored, chance, self._place.processes, share)
        return {} if own is None else {"judge_own": own}

    def export(self, path: Path, averaged: nn.Module) -> None:
        torch.save(averaged.state_dict(), path)
