"""Trains the landmark net of `faces.landmarks`; resumes from its checkpoint."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset

from ...errors import InputError
from ...faces.landmarks import SIDE, LandmarkNet
from ...models.file_formats.weights_files import write_safetensors
from ...whole_files import whole_file
from .landmark_crops import LandmarkDataset, Teacher, load_faces, load_others

log = logging.getLogger(__name__)
CHECKPOINT_EVERY = 200


@dataclass(frozen=True)
class LandmarkConfig:
    """What the landmark net is trained on and how.

    Attributes:
        faces: folders of portraits with one face each.
        others: folders of pictures without faces.
        teacher: YuNet as ONNX, for portraits without an annotation beside them.
        hold_out: every n-th person is left out for measuring.
    """

    faces: Sequence[str]
    others: Sequence[str]
    teacher: str
    hold_out: int = 5
    batch: int = 64
    steps: int = 4000
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 0

    @classmethod
    def from_record(cls, record: Mapping[str, Any], data: Path) -> LandmarkConfig:
        """Of a YAML file's content; paths start from `data`. Raises `InputError` on unknown fields."""
        try:
            fields = dict(record)
            for name in ("faces", "others"):
                fields[name] = [str(data / folder) for folder in record[name]]
            fields["teacher"] = str(data / record["teacher"])
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise InputError(f"the landmark net's configuration cannot be used: {error}") from error


class LandmarkTrainer:
    """A resumable run in a folder."""

    def __init__(self, config: LandmarkConfig, folder: Path, device: torch.device) -> None:
        self.config, self.device = config, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.net = LandmarkNet().to(device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.learning_rate, weight_decay=1e-2)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.pt"
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, map_location=device, weights_only=True)
            self.step = state["step"]
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])

    def train(self) -> None:
        """Run to `config.steps`."""
        config = self.config
        teacher = Teacher(Path(config.teacher))
        faces = load_faces([Path(folder) for folder in config.faces], config.hold_out, teacher)
        others = load_others([Path(folder) for folder in config.others], teacher)
        log.info("%d faces, %d pictures without", len(faces), len(others))
        total = config.steps * config.batch
        dataset = Subset(LandmarkDataset(faces, others, total, config.seed), range(self.step * config.batch, total))
        started, first = time.perf_counter(), self.step
        self.net.train()
        for crops, points, labels in DataLoader(dataset, config.batch, num_workers=config.workers):
            losses = self._train_step(crops.to(self.device), points.to(self.device), labels.to(self.device))
            self.step += 1
            if self.step % 50 == 0:
                left = (time.perf_counter() - started) / (self.step - first) * (config.steps - self.step) / 60
                log.info("step %d/%d, %.0f min left, %s", self.step, config.steps, left, losses)
            if self.step % CHECKPOINT_EVERY == 0 or self.step == config.steps:
                self._save()
        self.net.eval()

    def _train_step(self, crops: torch.Tensor, points: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        share = self.step / self.config.steps
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1) / 100)
            group["lr"] = self.config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * share))
        found, logits = self.net(crops)
        landmark = landmark_loss(found, points, labels)
        face = F.binary_cross_entropy_with_logits(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        (landmark + face).backward()
        self.optimizer.step()
        return {"landmark": round(landmark.item(), 4), "face": round(face.item(), 4)}

    def _save(self) -> None:
        state = {"step": self.step, "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        with whole_file(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def export(self, path: Path) -> None:
        """Write the net as float16, as the pack ships it."""
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in
                   self.net.state_dict().items()}  # fmt: skip
        write_safetensors(path, tensors, {"format": "headsup-landmarks", "licence": "MIT"})


def landmark_loss(found: torch.Tensor, true: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of the landmarks `[n,5,2]` in eye distances (a quarter of the crop), over the faces of the batch."""
    error = (found - true) / (SIDE / 4)
    each = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02, reduction="none").mean(dim=(1, 2))
    return (each * labels).sum() / labels.sum().clamp(min=1) * 10
