"""Where the face is in a clean picture, for figures of the face alone: plain backgrounds flatter whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, ModelFileError
from ..libraries import need

MARGIN = 0.1
"""The detector's box is enlarged by this share of its size on each side."""


class FaceRegion:
    """The best face that OpenCV's YuNet finds.

    Args:
        model: YuNet as ONNX.

    Raises:
        ModelFileError: OpenCV cannot read the file.
    """

    def __init__(self, model: Path) -> None:
        cv2 = need("cv2", "opencv-python", "measuring faces")
        if not model.is_file():
            raise ModelFileError(f"face detector {model} does not exist")
        self._cv2: Any = cv2
        try:
            self._detector: Any = cv2.FaceDetectorYN.create(str(model), "", (320, 320), 0.7)
        except cv2.error as error:
            raise ModelFileError(f"{model} is not a YuNet detector: {error}") from error

    def __call__(self, image: torch.Tensor) -> tuple[slice, slice] | None:
        """Rows and columns of the face in a picture `[1,3,H,W]`; None when there is none."""
        height, width = image.shape[-2:]
        array = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        self._detector.setInputSize((width, height))
        faces = self._detector.detect(np.ascontiguousarray(array[..., ::-1]))[1]
        if faces is None:
            return None
        x, y, w, h = max(faces, key=lambda face: float(face[-1]))[:4]
        rows = slice(max(0, int(y - MARGIN * h)), min(height, int(y + h * (1 + MARGIN))))
        columns = slice(max(0, int(x - MARGIN * w)), min(width, int(x + w * (1 + MARGIN))))
        if min(rows.stop - rows.start, columns.stop - columns.start) < 16:
            raise InputError(f"the face found in a picture of {width}x{height} is below 16 px")
        return rows, columns
