"""Trains a self-contained one-step model (codec, UNet and prompt embedding together) on CPU or GPU."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from ..errors import ModelFileError
from ..image_files import write_picture
from ..models.codec import Codec
from ..models.one_step import OneStepModel
from ..models.prompts import CachedPrompt
from ..models.weights import read_weights
from ..whole_files import whole_file
from .config import TrainConfig
from .data import CropSource, RestorationDataset, Sample
from .landmark_data import Teacher
from .losses import identity_loss, periodic_texture
from .perceptual import squeeze_lpips
from .recogniser import aligned_faces, load_mobilefacenet

log = logging.getLogger(__name__)


class Trainer:
    """A resumable run in a folder: `checkpoint.pt`, `log.csv`, `samples/`.

    Args:
        config: what to train and how.
        folder: where the run lives; an existing checkpoint there is continued, exactly to the step.
        device: torch device.
    """

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device) -> None:
        self.config = config
        self.folder = folder
        self.device = device
        self.step = 0
        self._seconds = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            built = config.architecture.build()
        self.networks = nn.ModuleDict({"codec": built.codec.vae, "unet": built.unet})
        self.networks.register_parameter("prompt", nn.Parameter(built.prompt.embeddings(None)))
        _start_as_identity(self.networks)
        folder.mkdir(parents=True, exist_ok=True)
        if config.init and not self.checkpoint.exists():
            take_over(self.networks, Path(config.init))
        self.networks.to(device)
        self.average = AveragedModel(self.networks, avg_fn=partial(_warm_average, config.ema))
        self.model = _over(built, self.networks)
        self.averaged_model = _over(built, self.average.module)
        """The model with exponentially averaged weights: what is shipped."""
        self.optimizer = torch.optim.AdamW(self.networks.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.lpips = squeeze_lpips(Path(config.lpips_backbone)).to(device)
        self.recogniser = load_mobilefacenet(Path(config.recogniser)).to(device) if config.recogniser else None
        self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def train(self) -> None:
        """Run to `config.steps`, writing a checkpoint every `checkpoint_every` steps and at the end."""
        config = self.config
        for batch in self._batches():
            started = time.perf_counter()
            losses = self._train_step({name: part.to(self.device) for name, part in batch.items()})
            self.step += 1
            self._seconds += time.perf_counter() - started
            self._report(losses)
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
            if self.step % config.sample_every == 0 or self.step == config.steps:
                self._write_samples()

    def _train_step(self, batch: Sample) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        losses = self._losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(losses.values(), torch.zeros((), device=self.device))
        total.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.average.update_parameters(self.networks)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _losses(self, batch: Sample) -> dict[str, torch.Tensor]:
        weights, codec, good = self.config.loss, self.model.codec, batch["good"]
        if self.step < self.config.codec_steps:
            return {"codec": F.l1_loss(codec.decode(codec.encode(good)), good)}
        restored = _restore(self.model, batch)
        some = good[: max(1, len(good) // 3)]
        losses = {
            "l1": weights.l1 * F.l1_loss(restored, good),
            "codec": weights.codec * F.l1_loss(codec.decode(codec.encode(some)), some),
            "periodic": weights.periodic * periodic_texture(restored - good, codec.factor),
        }
        if self.step >= self.config.lpips_from:
            losses["lpips"] = weights.lpips * self._shifted_lpips(restored, good)
        if weights.ssim:
            losses["ssim"] = weights.ssim * (1 - similarity_of_structure(restored, good))
        if weights.identity and self.recogniser is not None and bool(batch["has_face"].any()):
            losses["identity"] = weights.identity * self._identity(restored, batch)
        return losses

    def _identity(self, restored: torch.Tensor, batch: Sample) -> torch.Tensor:
        """L_id over the faces that lie wholly in their crops, as a mean over the batch."""
        assert self.recogniser is not None  # noqa: S101 - narrows the type: asked before
        whole = batch["has_face"].nonzero().flatten().tolist()
        landmarks = batch["landmarks"][whole].cpu()
        faces, truths = (aligned_faces(source[whole], landmarks) for source in (restored, batch["good"]))
        reference, known = batch["reference_face"][whole], batch["has_reference"][whole]
        return identity_loss(self.recogniser, faces, truths, reference, known) * (len(whole) / len(restored))

    def _shifted_lpips(self, restored: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        """LPIPS at a random phase of its strided grid, so that no fixed checkerboard can please it."""
        chooser = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        dy, dx = torch.randint(0, 16, (2,), generator=chooser).tolist()
        return self.lpips(restored[..., dy:, dx:], good[..., dy:, dx:], normalize=True).mean()

    def _batches(self) -> Iterator[Sample]:
        config = self.config
        total = config.steps * config.batch
        dataset = RestorationDataset(
            self._sources(), config.degradations, config.crop, total, config.seed, config.reference_drop
        )
        remaining = Subset(dataset, range(self.step * config.batch, total))
        yield from DataLoader(remaining, config.batch, num_workers=config.workers, worker_init_fn=_one_thread)

    def _sources(self, only: int | None = None) -> list[CropSource]:
        teacher = Teacher(Path(self.config.teacher)) if self.config.teacher else None
        return [CropSource(source, teacher) for source in self.config.sources[:only]]

    def _report(self, losses: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        fields = ["step", "seconds", "lr", "l1", "lpips", "ssim", "identity", "codec", "periodic"]
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fields, restval="")
            if new:
                writer.writeheader()
            rate = learning_rate(self.config, self.step - 1)
            rounded = {name: round(value, 6) for name, value in losses.items()}
            writer.writerow({"step": self.step, "seconds": round(self._seconds, 1), "lr": f"{rate:.2e}", **rounded})
        if self.step % 20 == 0:
            left = self._seconds / self.step * (self.config.steps - self.step) / 60
            log.info("step %d/%d, %.0f min left, %s", self.step, self.config.steps, left, rounded)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "seconds": self._seconds,
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with whole_file(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.step, self._seconds = state["step"], state["seconds"]
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        log.info("resumed at step %d of %s", self.step, self.checkpoint)

    @torch.no_grad()
    def _write_samples(self) -> None:
        """Rows of (enlarged input | restored | with reference | reference | true), always the same crops."""
        dataset = RestorationDataset(self._sources(1), self.config.degradations, 256, 6, seed=12345)
        rows: list[torch.Tensor] = []
        for sample in (dataset[index] for index in range(6)):
            batch = {name: part[None].to(self.device) for name, part in sample.items()}
            without = batch | {"has_reference": torch.zeros(1, device=self.device)}
            pictures = [_restore(self.averaged_model, each)[0].cpu().clamp(0, 1) for each in (without, batch)]
            rows.append(torch.cat([sample["bad"], *pictures, sample["reference"], sample["good"]], dim=2))
        sheet = torch.cat(rows, dim=1)[None]
        (self.folder / "samples").mkdir(exist_ok=True)
        write_picture(self.folder / "samples" / f"{self.step:06d}.png", sheet)


def _warm_average(
    decay: float, averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average whose memory grows with the run, so that the first weights are soon forgotten."""
    return averaged.lerp(current, 1 - min(decay, (1 + float(steps)) / (10 + float(steps))))


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, constant, linear fall to zero over the last `decay_steps`."""
    up = (step + 1) / max(1, config.warmup_steps)
    down = (config.steps - step) / max(1, config.decay_steps)
    return config.learning_rate * min(1.0, up, down)


def _restore(model: OneStepModel, batch: Sample) -> torch.Tensor:
    """The whole model on a batch, untiled and differentiable; samples without a reference get zeros for one."""
    codec, prompt = model.codec, model.prompt.embeddings(None)
    latent = codec.encode(batch["bad"])
    if not model.takes_reference:
        return codec.decode(model.denoise(latent, prompt))
    known = batch["has_reference"].view(-1, 1, 1, 1)
    mask = F.avg_pool2d(batch["mask"], codec.factor) * known
    reference = codec.encode(batch["reference"]) * known
    return codec.decode(model.denoise(latent, prompt, reference, mask))


def similarity_of_structure(restored: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
    """SSIM of pictures `[B,3,H,W]` in 0..1, scalar, by piq."""
    from piq import ssim

    value: Any = ssim(restored.clamp(0, 1), good, downsample=False)
    return value


def _over(model: OneStepModel, networks: nn.Module) -> OneStepModel:
    """`model` with the networks and the prompt embedding of a training module."""
    parts: Any = networks
    prompt = CachedPrompt(networks.get_parameter("prompt"))
    return replace(model, codec=Codec(parts["codec"]), unet=parts["unet"], prompt=prompt)


def _start_as_identity(networks: nn.ModuleDict) -> None:
    """With a zero residual the untrained model gives back what its codec makes of the input."""
    for parameter in networks.get_submodule("unet.conv_out").parameters():
        nn.init.zeros_(parameter)


def take_over(networks: nn.Module, path: Path) -> None:
    """Copy into `networks` the tensors of a HeadsUp file that have the same name and shape.

    Raises:
        ModelFileError: the file cannot be read, or shares no tensor.
    """
    own = networks.state_dict()
    content = read_weights(path).content
    taken = {name: value.float() for name, value in content.items() if name in own and own[name].shape == value.shape}
    if not taken:
        raise ModelFileError(f"{path} shares no tensor with the networks that are to be trained")
    networks.load_state_dict(own | taken)
    log.info("took %d of %d tensors from %s; new: %s", len(taken), len(own), path, sorted(set(own) - set(taken)))


def _one_thread(worker: int) -> None:
    del worker
    torch.set_num_threads(1)
