"""Landmarks of clean portraits that nobody annotated, by YuNet."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from ...faces.backends.yunet import YuNet

LONGEST_SIDES = (280, 340, 400)
"""Pixels of the sizes that a picture is looked at in."""


class LandmarkTeacher:
    """YuNet, asked at three sizes and averaged.

    Args:
        model: its ONNX file.

    Raises:
        InputError: OpenCV is not installed.
        ModelFileError: the file is missing or damaged.
    """

    def __init__(self, model: Path) -> None:
        self._detector = YuNet(model, "training on portraits without annotated landmarks")

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
