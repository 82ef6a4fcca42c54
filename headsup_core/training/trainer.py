"""Trains a one-step model on CPU or GPU, in one process or several: the one loop for every kind of model."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from .activation_checkpointing import checkpoint_activations
from .landmarks.landmark_crops import Teacher
from .processes import Processes
from .restorer.objective import Objective, restore
from .restorer.restorer_config import TrainConfig
from .restorer.restorer_networks import make_subject
from .restorer.restorer_samples import CropSource, RestorationDataset, Sample
from .run_folder import RunFolder
from .schedule import learning_rate, one_thread, warm_average

log = logging.getLogger(__name__)


class Trainer:
    """A resumable run in a folder, see `RunFolder`.

    Args:
        config: what to train and how.
        folder: where the run lives; an existing checkpoint there is continued, exactly to the step.
        device: of a single process; several take what accelerate gives them.
    """

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device) -> None:
        self.config = config
        self.step = 0
        self._seconds = 0.0
        self._run = RunFolder(folder)
        self._opened: list[CropSource] = []
        self._processes = Processes(device, config.precision)
        self.device = self._processes.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._subject = make_subject(config.architecture, config.adapter, config.base, config.crop)
            if config.init and not self.checkpoint.exists():
                self._subject.take_over(Path(config.init))
            self._prepare_base()
            self._objective = Objective(config, self._subject.base, self._processes)
        self.networks = self._subject.networks.to(self.device)
        self.average = AveragedModel(self.networks, avg_fn=partial(warm_average, config.ema))
        self.model = self._subject.model(self.networks)
        self.averaged_model = self._subject.model(self.average.module)
        """The model with exponentially averaged weights: what is shipped."""
        if config.gradient_checkpointing:
            checkpoint_activations(self.model.unet)
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._resume()

    @property
    def checkpoint(self) -> Path:
        return self._run.checkpoint

    def train(self) -> None:
        """Run to `config.steps`, writing a checkpoint every `checkpoint_every` steps and at the end."""
        config = self.config
        for batch in self._batches():
            started = time.perf_counter()
            losses = self._train_step({name: part.to(self.device) for name, part in batch.items()})
            self.step += 1
            self._seconds += time.perf_counter() - started
            if not self._processes.first:
                continue
            self._report(losses)
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
            if self.step % config.sample_every == 0 or self.step == config.steps:
                self._write_samples()
        self._processes.wait()

    def export(self, path: Path) -> None:
        """Write the averaged model as one file that `load_model` reads."""
        if self._processes.first:
            self._subject.export(path, self.average.module)

    def finish(self) -> None:
        """Let go of the other processes, after the last call of `train` and `export`."""
        self._processes.finish()

    def _prepare_base(self) -> None:
        base = self._subject.base
        if base is None:
            return
        networks: list[Any] = [base.unet, base.vae]  # diffusers types `to` as if it took itself
        for network in networks:
            network.to(self.device)
        if self.config.gradient_checkpointing:
            checkpoint_activations(base.vae)

    def _train_step(self, batch: Sample) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        chance = self._chance()
        losses, restored = self._objective.losses(self.model, batch, self.step, chance)
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(losses.values(), torch.zeros((), device=self.device))
        if total.requires_grad:  # no face in the batch, and no loss but faces'
            total.backward()
        self._processes.average_gradients(self.networks.parameters())
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.average.update_parameters(self.networks)
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        if restored is not None:
            for name, companion in self._objective.companions.items():
                own = companion.learn(restored, chance, self._processes)
                found |= {} if own is None else {f"{name}_own": own}
        return found

    def _chance(self) -> torch.Generator:
        """What this step of this process draws from, whatever was drawn before."""
        place = self.step * self._processes.count + self._processes.index
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + place)

    def _batches(self) -> Iterator[Sample]:
        """Each process takes its share of every step's samples."""
        config, processes = self.config, self._processes
        together = config.batch * processes.count
        sources, length = self._sources(), config.steps * together
        dataset = self._dataset(sources, config.crop, length, config.seed, config.reference_drop)
        starts = range(self.step * together + processes.index * config.batch, len(dataset), together)
        remaining = Subset(dataset, [start + offset for start in starts for offset in range(config.batch)])
        yield from DataLoader(remaining, config.batch, num_workers=config.workers, worker_init_fn=one_thread)

    def _dataset(
        self, sources: list[CropSource], size: int, length: int, seed: int, reference_drop: float = 0.0
    ) -> RestorationDataset:
        degradations, placement = self.config.degradations, self.model.reference_placement
        return RestorationDataset(sources, degradations, size, length, seed, reference_drop, placement)

    def _sources(self) -> list[CropSource]:
        if not self._opened:
            teacher = Teacher(Path(self.config.teacher)) if self.config.teacher else None
            self._opened = [CropSource(source, teacher) for source in self.config.sources]
        return self._opened

    def _report(self, losses: dict[str, float]) -> None:
        rate = learning_rate(self.config, self.step - 1)
        rounded = {name: round(value, 6) for name, value in losses.items()}
        self._run.log({"step": self.step, "seconds": round(self._seconds, 1), "lr": f"{rate:.2e}", **rounded})
        if self.step % 20 == 0:
            left = self._seconds / self.step * (self.config.steps - self.step) / 60
            log.info("step %d/%d, %.0f min left, %s", self.step, self.config.steps, left, rounded)

    def _save(self) -> None:
        companions = self._objective.companions
        self._run.save(
            {
                "step": self.step,
                "seconds": self._seconds,
                "networks": self.networks.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "companions": {name: companion.state() for name, companion in companions.items()},
            }
        )

    def _resume(self) -> None:
        state = self._run.load(self.device)
        if state is None:
            return
        self.step, self._seconds = state["step"], state["seconds"]
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, companion in self._objective.companions.items():
            if name in state.get("companions", {}):  # else its term is new in this run
                companion.load(state["companions"][name])
        log.info("resumed at step %d of %s", self.step, self.checkpoint)

    @torch.no_grad()
    def _write_samples(self) -> None:
        """Rows of (enlarged input | restored | with reference | reference | true), always the same crops."""
        dataset = self._dataset(self._sources()[:1], self.config.sample_side, 6, seed=12345)
        rows: list[torch.Tensor] = []
        for sample in (dataset[index] for index in range(6)):
            batch = {name: part[None].to(self.device) for name, part in sample.items()}
            without = batch | {"has_reference": torch.zeros(1, device=self.device)}
            with self._processes.autocast():
                pictures = [restore(self.averaged_model, each).picture[0] for each in (without, batch)]
            shown = [picture.cpu().clamp(0, 1) for picture in pictures]
            rows.append(torch.cat([sample["bad"], *shown, sample["reference"], sample["good"]], dim=2))
        self._run.write_samples(self.step, torch.cat(rows, dim=1)[None])
