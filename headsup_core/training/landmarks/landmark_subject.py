"""The landmark net of `faces.landmarks` as a subject of the training loop."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from ...faces.landmarks import SIDE, LandmarkNet
from ...models.file_formats.weights_files import write_safetensors
from ..data.landmark_teacher import LandmarkTeacher
from ..subject import Batch, Losses, Subject, Workplace
from .landmark_config import LandmarkConfig
from .landmark_crops import LandmarkDataset, load_faces, load_others

log = logging.getLogger(__name__)
SHOWN = (4, 8)
"""Rows and columns of crops on a sample sheet."""
SHEET_SEED = 12345
MAGNIFIED = 3
RED = (1.0, 0.1, 0.1)


class LandmarkSubject(Subject):
    """Five landmarks and "is this a face" from a crop."""

    def __init__(self, config: LandmarkConfig, place: Workplace) -> None:
        self.config, self._place = config, place
        self._net = LandmarkNet()
        self.networks: nn.Module = self._net.train()
        self._read: LandmarkDataset | None = None

    def samples(self, length: int) -> Dataset[Batch]:
        return self._dataset().resized(length, self.config.seed)

    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        with self._place.processes.autocast():
            found, logits = self._net(batch["crop"])
        is_face = batch["is_face"]
        return {
            "landmark": landmark_loss(found.float(), batch["points"], is_face),
            "face": F.binary_cross_entropy_with_logits(logits.float(), is_face),
        }

    def sheet(self, averaged: nn.Module) -> torch.Tensor:
        """Crops, always the same, with the landmarks found; those that are held for no face are darkened."""
        rows, columns = SHOWN
        dataset = self._dataset().resized(rows * columns, SHEET_SEED)
        crops = torch.stack([dataset[index]["crop"] for index in range(rows * columns)])
        was_training = averaged.training
        points, logits = averaged.eval()(crops.to(self._place.device))
        averaged.train(was_training)
        pictures = [_drawn(*each) for each in zip(crops, points.cpu(), logits.cpu(), strict=True)]
        lines = [torch.cat(pictures[start : start + columns], dim=2) for start in range(0, len(pictures), columns)]
        return torch.cat(lines, dim=1)[None]

    def export(self, path: Path, averaged: nn.Module) -> None:
        """The net as float16, as the pack ships it: `faces.landmarks` reads it."""
        state = averaged.state_dict()
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        write_safetensors(path, tensors, {"format": "headsup-landmarks", "licence": "MIT"})

    def _dataset(self) -> LandmarkDataset:
        """The samples of all pictures, which are read when they are first asked for."""
        if self._read is None:
            config, teacher = self.config, LandmarkTeacher(Path(self.config.teacher))
            faces = load_faces([Path(folder) for folder in config.faces], config.hold_out, teacher)
            others = load_others([Path(folder) for folder in config.others], teacher)
            log.info("%d faces, %d pictures without", len(faces), len(others))
            self._read = LandmarkDataset(faces, others, 0, config.seed)
        return self._read


def landmark_loss(found: torch.Tensor, true: torch.Tensor, is_face: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of the landmarks `[n,5,2]` in eye distances (a quarter of the crop), over the faces of the batch."""
    error = (found - true) / (SIDE / 4)
    each = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02, reduction="none").mean(dim=(1, 2))
    return (each * is_face).sum() / is_face.sum().clamp(min=1) * 10


def _drawn(crop: torch.Tensor, points: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
    """A crop `[3,64,64]`, magnified, with a red square of 3 px at each landmark."""
    picture = F.interpolate(crop[None], scale_factor=MAGNIFIED, mode="nearest")[0] * (1.0 if logit > 0 else 0.4)
    for x, y in ((points + 0.5) * MAGNIFIED).round().int().clamp(1, SIDE * MAGNIFIED - 2).tolist():
        picture[:, y - 1 : y + 2, x - 1 : x + 2] = torch.tensor(RED)[:, None, None]
    return picture
