"""Landmarks of clean portraits that nobody annotated, by YuNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ...faces.backends.yunet import YuNet

LONGEST_SIDES = (280, 340, 400)
"""Pixels of the sizes that a picture is looked at in."""
CROWD_SIDE = 960
"""Longer side in pixels at which everybody in a picture is looked for."""
CROWD_SCORE = 0.8
"""Least score of a face that nobody named: a wrong one would be trained on."""


class LandmarkTeacher:
    """YuNet, asked at three sizes and averaged.

    Args:
        model: its ONNX file.

    Raises:
        InputError: OpenCV is not installed.
        ModelFileError: the file is missing or damaged.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._detector = self._open()

    def _open(self) -> YuNet:
        return YuNet(self._model, "training on portraits without annotated landmarks")

    def __getstate__(self) -> dict[str, Any]:
        """The file alone: OpenCV's detector cannot be sent to another process."""
        return {"_model": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._model = state["_model"]
        self._detector = self._open()

    def everyone(self, image: torch.Tensor) -> Sequence[torch.Tensor]:
        """Landmarks `[5,2]` of all sure faces of `[1,3,H,W]` in 0..1, in its pixels, the surest first."""
        height, width = image.shape[-2:]
        factor = min(1.0, CROWD_SIDE / max(height, width))
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = image if factor == 1 else F.interpolate(image, size=size, mode="bilinear", antialias=True)
        found = sorted(self._detector(small, CROWD_SCORE), key=lambda face: -face.score)
        return [((face.landmarks + 0.5) / factor - 0.5).float() for face in found]

    def __call__(self, image: torch.Tensor) -> torch.Tensor | None:
        """Landmarks `[5,2]` of the best face of `[1,3,H,W]` in 0..1, in its pixels; None when a size shows no face."""
        height, width = image.shape[-2:]
        answers: list[torch.Tensor] = []
        for longest in LONGEST_SIDES:
            factor = longest / max(height, width)
            size = (round(height * factor), round(width * factor))
            best = self._detector.best(F.interpolate(image, size=size, mode="bilinear", antialias=True))
            if best is None:
                return None
            answers.append((best.landmarks + 0.5) / factor - 0.5)
        return torch.stack(answers).mean(0).float()
