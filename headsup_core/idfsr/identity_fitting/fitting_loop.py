"""The loop of a fitting: steps, looks at a held-out photo, cancelling, going on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...host import Host, Progress
from ...whole_files import whole_file
from .fitting_options import FittingOptions
from .fitting_task import IDFSRTask


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a loop ends with: the embedding `[D]` and the rest of `Fitted`."""

    embedding: torch.Tensor
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    best_step: int


class FittingLoop:
    """Adam on the change of an embedding.

    Args:
        state: file from which an interrupted fitting of the same task goes on, exactly; removed at the end.
    """

    def __init__(self, task: IDFSRTask, options: FittingOptions, host: Host, state: Path | None) -> None:
        self._task, self._options, self._host, self._state = task, options, host, state
        self._optimizer = torch.optim.Adam([task.change], lr=options.learning_rate)
        self._losses: list[float] = []
        self._held_out: list[tuple[int, float]] = []
        self._best = (0, self._embedding())

    def run(self) -> Outcome:
        """All steps, or until the held-out photo gained nothing for long; its best step is taken."""
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
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        step, embedding = self._best
        return Outcome(embedding, tuple(self._losses), tuple(self._held_out), step)

    def _embedding(self) -> torch.Tensor:
        return self._task.embedding.detach().clone()

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
        if loss < min((known for _, known in self._held_out), default=math.inf):
            self._best = (step, self._embedding())
        self._held_out.append((step, loss))

    def _worse_for_long(self) -> bool:
        since = sum(step > self._best[0] for step, _ in self._held_out)
        return since >= self._options.patience

    def _save(self) -> None:
        if self._state is None:
            return
        content = {
            "key": self._task.key,
            "change": self._task.change.detach(),
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
            self._task.change.copy_(content["change"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._losses, self._held_out = content["losses"], content["held_out"]
        self._best = content["best"]
