"""Trains an IDFSR model on aligned faces; resumes exactly."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from ...errors import InputError, ModelFileError
from ...faces.registry import load_face_analyzer
from ...host import PlainHost
from ...models.file_formats.weights_files import read_weights
from ...training.landmarks.landmark_crops import Teacher
from ...training.run_folder import RunFolder
from ...training.schedule import learning_rate, one_thread, warm_average
from ..conditioning import Seen, compose
from ..idfsr_file import is_idfsr_file, save_idfsr
from ..idfsr_model import IDFSRModel
from ..left_out import chance_of_leaving_out, leave_out
from ..network.diffae import load_diffae
from ..network.idfsr_unet import IDFSRNetwork
from .aligned_photos import AlignedPhoto, prepare_photos
from .face_samples import FaceDataset, Sample
from .idfsr_config import IDFSRConfig

log = logging.getLogger(__name__)
OVERSAMPLING = 2
"""Faces are kept this much finer than they are trained at."""
SHOWN = 6


class IDFSRTrainer:
    """A resumable run in a folder, see `RunFolder`; the prepared photos lie there, too.

    Args:
        config: what to train and how.
        folder: where the run lives; an existing checkpoint there is continued, exactly to the step.
        device: torch device.

    Raises:
        InputError: the analyzer has another recogniser than the architecture names.
        ModelFileError: `config.init` cannot be used.
    """

    def __init__(self, config: IDFSRConfig, folder: Path, device: torch.device) -> None:
        self.config, self.device = config, device
        self.step = 0
        self._seconds = 0.0
        self._run = RunFolder(folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = IDFSRNetwork(config.architecture)
        state = self._run.load(device)
        self._photos = self._prepare(folder / "photos.safetensors")
        if state is None:
            self._begin()
        self.network.to(device)
        self.average = AveragedModel(self.network, avg_fn=partial(warm_average, config.ema))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        if state is not None:
            self.step, self._seconds = state["step"], state["seconds"]
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            log.info("resumed at step %d of %s", self.step, self._run.checkpoint)

    @property
    def model(self) -> IDFSRModel:
        """As it is trained."""
        return IDFSRModel(self.network, self.config.architecture)

    @property
    def averaged_model(self) -> IDFSRModel:
        """With exponentially averaged weights: what is shipped."""
        network = self.average.module
        assert isinstance(network, IDFSRNetwork)  # noqa: S101 - narrows the type
        return IDFSRModel(network, self.config.architecture)

    def train(self) -> None:
        """Run to `config.steps`, writing a checkpoint every `checkpoint_every` steps and at the end."""
        config = self.config
        self.network.train()
        for batch in self._batches():
            started = time.perf_counter()
            loss = self._train_step({name: part.to(self.device) for name, part in batch.items()})
            self.step += 1
            self._seconds += time.perf_counter() - started
            self._report(loss)
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self._save()
            if self.step % config.sample_every == 0 or self.step == config.steps:
                self._write_samples()

    def export(self, path: Path) -> None:
        """Write the averaged model as one file that `load_idfsr` reads."""
        save_idfsr(path, self.averaged_model)

    def _prepare(self, path: Path) -> list[list[AlignedPhoto]]:
        config = self.config
        analyzer = load_face_analyzer(config.analyzer, PlainHost(self.device))
        wanted = config.architecture.embedder
        if wanted != analyzer.embedder_id:
            raise InputError(
                f"the architecture takes embeddings of {wanted!r}, {config.analyzer} gives {analyzer.embedder_id!r}"
            )
        teacher = Teacher(Path(config.teacher)) if config.teacher else None
        return prepare_photos(config.sources, OVERSAMPLING * config.architecture.size, analyzer, teacher, path)

    def _begin(self) -> None:
        """The start: random weights or a file's, and the people's mean and variance where the file has none."""
        config = self.config
        if config.init and take_over(self.network, Path(config.init)):
            return
        vectors = torch.stack([photo.embedding for photos in self._photos for photo in photos])
        self.network.identity_tokens.mean.copy_(vectors.mean(0))
        self.network.identity_tokens.scale.copy_(vectors.std(0, unbiased=False).clamp(min=1e-3))

    def _train_step(self, batch: Sample) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        seed = self.config.seed * 1_000_003 + self.step
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)  # dropout draws from the global state: fork_rng gives it back
            model, seen, identity = self.model, _seen(batch, self.config), batch["embedding"]
            chance = torch.Generator().manual_seed(seed)
            if shares := self.config.left_out:
                out = chance_of_leaving_out(shares, len(identity), chance)
                seen, identity = leave_out(seen, batch["low"], identity, self.network.identity_tokens.mean, out)
            loss = model.loss(batch["good"], seen, model.style(seen), identity, chance)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def _batches(self) -> Iterator[Sample]:
        config = self.config
        total = config.steps * config.batch
        remaining = Subset(self._dataset(total, config.seed), range(self.step * config.batch, total))
        yield from DataLoader(
            remaining,
            config.batch,
            num_workers=config.workers,
            worker_init_fn=one_thread,
            generator=torch.Generator().manual_seed(config.seed),  # else the global state is drawn from
        )

    def _dataset(self, length: int, seed: int) -> FaceDataset:
        config = self.config
        return FaceDataset(
            config.sources,
            self._photos,
            config.low,
            config.architecture.size,
            length,
            seed,
            config.embedding_from,
            config.jitter,
        )

    def _report(self, loss: float) -> None:
        rate = learning_rate(self.config, self.step - 1)
        row = {"step": self.step, "seconds": round(self._seconds, 1), "lr": f"{rate:.2e}", "noise": round(loss, 6)}
        self._run.log(row)
        if self.step % 20 == 0:
            left = self._seconds / self.step * (self.config.steps - self.step) / 60
            log.info("step %d/%d, %.0f min left, noise %.4f", self.step, self.config.steps, left, loss)

    def _save(self) -> None:
        self._run.save(
            {
                "step": self.step,
                "seconds": self._seconds,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )

    @torch.no_grad()
    def _write_samples(self) -> None:
        """Rows of (enlarged LR | I_M | I_W | restored | true), always the same faces."""
        dataset = self._dataset(SHOWN, 12345)
        samples = [dataset[index] for index in range(SHOWN)]
        batch = {name: torch.stack([sample[name] for sample in samples]).to(self.device) for name in samples[0]}
        seen = _seen(batch, self.config)
        model = self.averaged_model
        model.network.eval()
        restored = model.restore(seen, batch["embedding"])
        columns = torch.cat([batch["low"], seen.masked, seen.warped, restored, batch["good"]], dim=3)
        self._run.write_samples(self.step, torch.cat(list(columns.cpu()), dim=1)[None])


def take_over(network: IDFSRNetwork, path: Path) -> bool:
    """Fill `network` from an IDFSR file of the same architecture (but its size), or from a DiffAE checkpoint.

    Returns:
        Whether the file knew the people's mean and variance.

    Raises:
        ModelFileError: the file cannot be read, or holds other layers.
    """
    if path.suffix != ".safetensors" or not is_idfsr_file(read_weights(path, lambda name: False).metadata):
        load_diffae(network, path)
        return False
    tensors = {name: value.float() for name, value in read_weights(path).content.items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelFileError(f"{path} is of another architecture: {str(error)[:300]}") from error
    return True


def _seen(batch: Sample, config: IDFSRConfig) -> Seen:
    return compose(batch["low"], batch["mask"], batch["placed"], masked=config.architecture.masked)
