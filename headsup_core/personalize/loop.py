"""The loop that every fitting has in common: steps, looks at a held-out photo, cancelling, going on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..host import Host, Progress
from ..whole_files import whole_file
from .options import FittingOptions

Parts = dict[str, torch.Tensor]
"""What is fitted, by its key in `Identity.fitted`."""


class Task(Protocol):
    """What is fitted to whom."""

    @property
    def key(self) -> str:
        """Differs between fittings of which one cannot go on with the state of the other."""
        ...

    @property
    def least_gain(self) -> float:
        """By what share of the start's held-out loss a step must be better to be taken in its place."""
        ...

    @property
    def changes(self) -> Mapping[str, torch.Tensor]:
        """The leaves that are optimised, by name, in units that suit one learning rate."""
        ...

    def loss(self, step: int) -> torch.Tensor:
        """Of a step, scalar, the same whenever it is asked for."""
        ...

    def held_out_loss(self) -> float | None:
        """Of the held-out photo, always over the same draws; None without one."""
        ...

    def parts(self) -> Parts:
        """What the changes make of the start."""
        ...


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a loop ends with: see `Fitted`."""

    parts: Parts
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    best_step: int


class FittingLoop:
    """Adam on the changes of a task.

    Args:
        state: file from which an interrupted fitting of the same task goes on, exactly; removed at the end.
    """

    def __init__(self, task: Task, options: FittingOptions, host: Host, state: Path | None) -> None:
        self._task, self._options, self._host, self._state = task, options, host, state
        self._changes = task.changes
        self._optimizer = torch.optim.Adam(list(self._changes.values()), lr=options.learning_rate)
        self._losses: list[float] = []
        self._held_out: list[tuple[int, float]] = []
        self._at_start: tuple[int, Parts] = (0, _copied(task.parts()))
        self._best = self._at_start

    def run(self) -> Outcome:
        """All steps, or until the held-out photo gained nothing for long; its best step is taken, else the last."""
        self._resume()
        options = self._options
        with self._host.progress(options.steps) as progress:
            progress.advance(len(self._losses))
            if not self._losses:
                self._check()
            while len(self._losses) < options.steps and not self._worse_for_long():
                self._step()
                if len(self._losses) % options.check_every == 0 or len(self._losses) == options.steps:
                    self._check()
                if len(self._losses) % options.save_every == 0:
                    self._save()
                self._pause(progress)
        if not self._held_out:
            self._best = (len(self._losses), _copied(self._task.parts()))
        elif not self._is_worth_it():
            self._best = self._at_start
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        step, parts = self._best
        return Outcome(parts, tuple(self._losses), tuple(self._held_out), step)

    def _is_worth_it(self) -> bool:
        """Whether the best step is so much better than the start as the task asks."""
        losses = dict(self._held_out)
        return losses[self._best[0]] <= losses[0] * (1 - self._task.least_gain)

    def _pause(self, progress: Progress) -> None:
        """Where the host may stop the fitting: after a whole step, so that it goes on from there."""
        try:
            progress.advance()
            self._host.check_cancelled()
        except BaseException:
            self._save()
            raise

    def _step(self) -> None:
        loss = self._task.loss(len(self._losses))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._losses.append(float(loss.detach()))

    @torch.no_grad()
    def _check(self) -> None:
        """Look at the held-out photo, once a step."""
        step = len(self._losses)
        if any(step == known for known, _ in self._held_out):
            return
        loss = self._task.held_out_loss()
        if loss is None:
            return
        if loss < min((known for _, known in self._held_out), default=math.inf):
            self._best = (step, _copied(self._task.parts()))
        self._held_out.append((step, loss))

    def _worse_for_long(self) -> bool:
        since = sum(step > self._best[0] for step, _ in self._held_out)
        return since >= self._options.patience

    def _save(self) -> None:
        if self._state is None:
            return
        content = {
            "key": self._task.key,
            "changes": {name: value.detach() for name, value in self._changes.items()},
            "optimizer": self._optimizer.state_dict(),
            "losses": self._losses,
            "held_out": self._held_out,
            "best": self._best,
        }
        self._state.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self._state) as temporary:
            torch.save(content, temporary)

    def _resume(self) -> None:
        if self._state is None or not self._state.exists():
            return
        content: dict[str, Any] = torch.load(self._state, map_location=self._host.device, weights_only=True)
        if content.get("key") != self._task.key:
            return
        with torch.no_grad():
            for name, value in self._changes.items():
                value.copy_(content["changes"][name])
        self._optimizer.load_state_dict(content["optimizer"])
        self._losses, self._held_out = content["losses"], content["held_out"]
        self._best = content["best"]


def _copied(parts: Parts) -> Parts:
    return {name: value.detach().clone() for name, value in parts.items()}
