"""The one training loop, for every subject, on CPU or GPU, in one process or several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from ..errors import InputError
from .processes import Processes
from .run_config import RunConfig
from .run_folder import RunFolder
from .schedule import FALL_OF_MINUTES, TimeLimit, learning_rate, warm_average
from .subject import Batch, Subject, Workplace

log = logging.getLogger(__name__)
ConfigT = TypeVar("ConfigT", bound=RunConfig)
SubjectT = TypeVar("SubjectT", bound=Subject)
TELL_EVERY = 20


class Trainer(Generic[ConfigT, SubjectT]):
    """A resumable run in a folder, see `RunFolder`.

    Args:
        make_subject: the subject's class.
        config: what to train and how.
        folder: where the run lives; an existing checkpoint there is continued, exactly to the step.
        device: of a single process; several take what accelerate gives them.
        earlier: folder of a run of the same networks whose weights, averages, optimizer and learners (the critic, the
            distillation's copy, with their optimizers) a new run goes on with, from its step 0; None: it begins anew.

    Attributes:
        average: `average.module` is a copy of the networks with exponentially averaged weights: what is exported.

    Raises:
        InputError: accelerate is not installed, the configuration cannot be, or the earlier run is none or of others.
        ModelFileError: a file that the run starts from cannot be used.
    """

    def __init__(
        self,
        make_subject: Callable[[ConfigT, Workplace], SubjectT],
        config: ConfigT,
        folder: Path,
        device: torch.device,
        earlier: Path | None = None,
    ) -> None:
        self.config = config
        self.step = 0
        self._seconds = 0.0
        self._limit = TimeLimit(config.minutes)
        self._run = RunFolder(folder)
        self._processes = Processes(device, config.precision)
        self.device = self._processes.device
        state = self._run.load(self.device)
        before = None if state is not None or earlier is None else _checkpoint_of(earlier, self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.subject = make_subject(config, Workplace(self._processes, folder))
            if state is None and before is None:
                self.subject.begin()
        self.networks = self.subject.networks.to(self.device)
        self.average = AveragedModel(self.networks, avg_fn=partial(warm_average, config.ema))
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if state is not None:
            self._resume(state)
        elif before is not None and earlier is not None:
            self._go_on(before, earlier)

    def train(self) -> None:
        """Run to `config.steps`, or to the end of `config.minutes`, writing a checkpoint every `checkpoint_every` steps
        and at the end."""
        config, batches = self.config, self._batches()
        while parts := list(islice(batches, config.accumulate)):
            started = time.perf_counter()
            left = self._processes.mean(self._limit.left())
            losses = self._train_step(parts, min(1.0, left / FALL_OF_MINUTES))
            self.step += 1
            self._seconds += time.perf_counter() - started
            ended = self.step == config.steps or left == 0
            if self._processes.first:
                self._report(losses)
                if self.step % config.checkpoint_every == 0 or ended:
                    self._save()
                if self.step % config.sample_every == 0 or ended:
                    self._write_samples()
            if ended:
                break
        self._processes.wait()

    def export(self, path: Path) -> None:
        """Write the averaged model as the file that is used and published."""
        if self._processes.first:
            self.subject.export(path, self.average.module)

    def finish(self) -> None:
        """Let go of the other processes, after the last call of `train` and `export`."""
        self._processes.finish()

    def _train_step(self, parts: list[Batch], slower: float) -> dict[str, float]:
        """One step along the mean gradient of the batches, at `slower` times the schedule's learning rate; the mean of
        each loss, one that is left out counting 0."""
        config, subject, share = self.config, self.subject, 1 / len(parts)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step) * slower
        self.optimizer.zero_grad(set_to_none=True)
        found: dict[str, float] = {}
        with self._chance() as chance:
            for part in parts:
                batch = {name: values.to(self.device) for name, values in part.items()}
                losses = subject.losses(batch, self.step, chance)
                total = sum(losses.values(), torch.zeros((), device=self.device)) * share
                if total.requires_grad:  # no face in the batch, and no loss but faces'
                    total.backward()
                told = {name: float(loss.detach()) for name, loss in losses.items()}
                for name, value in {**told, **subject.teach(chance, share)}.items():
                    found[name] = found.get(name, 0.0) + value * share
        self._processes.average_gradients(self.networks.parameters())
        nn.utils.clip_grad_norm_(self.networks.parameters(), config.grad_clip)
        self.optimizer.step()
        self.average.update_parameters(self.networks)
        for learner in subject.learners.values():
            learner.step(self._processes, config.grad_clip)
        return found

    @contextmanager
    def _chance(self) -> Generator[torch.Generator]:
        """What this step of this process draws from, whatever was drawn before; torch's global state comes back."""
        seed = self.config.seed * 1_000_003 + self.step * self._processes.count + self._processes.index
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield torch.Generator().manual_seed(seed)

    def _batches(self) -> Iterator[Batch]:
        """The rest of the run, `accumulate` batches a step; each process takes its share of every step's samples."""
        config, processes = self.config, self._processes
        own = config.batch * config.accumulate
        together = own * processes.count
        dataset = self.subject.samples(config.steps * together)
        starts = range(self.step * together + processes.index * own, config.steps * together, together)
        remaining = Subset(dataset, [start + offset for start in starts for offset in range(own)])
        yield from DataLoader(
            remaining,
            config.batch,
            num_workers=config.workers,
            worker_init_fn=one_thread,
            generator=torch.Generator().manual_seed(config.seed),  # else torch's global state is drawn from
        )

    def _report(self, losses: dict[str, float]) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        rounded = {name: round(value, 6) for name, value in losses.items()}
        self._run.log({"step": self.step, "seconds": round(self._seconds, 1), "lr": f"{rate:.2e}", **rounded})
        if self.step % TELL_EVERY == 0:
            left = self._limit.minutes_of(self._seconds / self.step * (self.config.steps - self.step) / 60)
            log.info("step %d/%d, %.0f min left, %s", self.step, self.config.steps, left, rounded)

    def _save(self) -> None:
        self._run.save(
            {
                "step": self.step,
                "seconds": self._seconds,
                "networks": self.networks.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "learners": {name: learner.state() for name, learner in self.subject.learners.items()},
            }
        )

    def _resume(self, state: dict[str, Any]) -> None:
        self.step, self._seconds = state["step"], state["seconds"]
        self._take(state)
        log.info("resumed at step %d of %s", self.step, self._run.checkpoint)

    def _take(self, state: dict[str, Any]) -> None:
        """Weights, averages, optimizer and learners of a checkpoint."""
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, learner in self.subject.learners.items():
            if name in state["learners"]:  # else its term is new in this run
                learner.load(state["learners"][name])

    def _go_on(self, state: dict[str, Any], earlier: Path) -> None:
        """Take over everything that the earlier run learned; the count of steps and the settings are this run's own."""
        try:
            self._take(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"{earlier} trained other networks than this configuration ({str(error)[:300]}): continue a run of the "
                "same adapter and losses, or start from its exported file with init"
            ) from error
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.config.weight_decay
        log.info("goes on with %s, which ended at step %d", earlier, state["step"])

    @torch.no_grad()
    def _write_samples(self) -> None:
        sheet = self.subject.sheet(self.average.module)
        if sheet is not None:
            self._run.write_samples(self.step, sheet)


def _checkpoint_of(folder: Path, device: torch.device) -> dict[str, Any]:
    """The checkpoint of another run. Raises `InputError` when there is none."""
    state = RunFolder(folder).load(device) if folder.is_dir() else None
    if state is None:
        raise InputError(f"{folder} holds no checkpoint of a run to continue: name the --run folder of that training")
    return state


def one_thread(worker: int) -> None:
    """For `DataLoader`'s workers: the cores belong to the training."""
    del worker
    torch.set_num_threads(1)
