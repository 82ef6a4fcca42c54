"""YuNet, OpenCV's face detector, wrapped once for the opencv analyzer, the training and the benchmark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import ModelFileError
from ...libraries import need
from ..analyzer import to_bgr
from ..face import Face

NMS_THRESHOLD = 0.3
TOP_K = 5000


class YuNet:
    """Boxes, five landmarks and scores from an ONNX file of YuNet.

    Args:
        model: the file.
        purpose: what needs it, for the message without OpenCV.

    Raises:
        InputError: OpenCV is not installed.
        ModelFileError: the file is missing, damaged, or holds another network.
    """

    def __init__(self, model: Path, purpose: str = "finding faces with YuNet") -> None:
        cv2: Any = need("cv2", "opencv-python", purpose)
        if not os.path.isfile(model):
            raise ModelFileError(f"face detector {model} does not exist: python -m headsup_core download yunet gets it")
        self._detector: Any = open_onnx(cv2, cv2.FaceDetectorYN.create, model, "", (320, 320))
        self._detector.setNMSThreshold(NMS_THRESHOLD)
        self._detector.setTopK(TOP_K)

    def __call__(self, picture: torch.Tensor, min_score: float = 0.6) -> list[Face]:
        """The faces of `[1,3,H,W]` in 0..1 with at least this score, in any order; looked for at the picture's size."""
        self._detector.setInputSize((picture.shape[-1], picture.shape[-2]))
        self._detector.setScoreThreshold(min_score)
        rows = self._detector.detect(to_bgr(picture))[1]
        return [] if rows is None else [_face(row) for row in rows]

    def best(self, picture: torch.Tensor, min_score: float = 0.6) -> Face | None:
        """The face of the highest score; None when there is none."""
        return max(self(picture, min_score), key=lambda face: face.score, default=None)


def open_onnx(cv2: Any, create: Any, path: Path, *arguments: Any) -> Any:  # noqa: ANN401 - OpenCV has no types
    """What one of OpenCV's `create` functions makes of a file. Raises `ModelFileError` when it cannot read it."""
    try:
        return create(str(path), *arguments)
    except cv2.error as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelFileError(f"{path} is damaged or of another kind ({reason}): download it again") from error


def _face(row: Any) -> Face:  # noqa: ANN401 - numpy row of 15
    x, y, w, h = (float(value) for value in row[:4])
    return Face((x, y, x + w, y + h), torch.from_numpy(row[4:14].astype(np.float32)).reshape(5, 2), float(row[14]))
