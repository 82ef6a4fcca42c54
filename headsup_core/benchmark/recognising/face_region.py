"""Where the face is in a clean picture, for figures of the face alone: plain backgrounds flatter whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError, ModelFileError
from ...faces.face import Box
from ...libraries import need

Region = tuple[slice, slice]
"""Rows and columns."""
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

    def __call__(self, image: torch.Tensor) -> Region | None:
        """Rows and columns of the face in a picture `[1,3,H,W]`; None when there is none."""
        height, width = image.shape[-2:]
        array = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        self._detector.setInputSize((width, height))
        faces = self._detector.detect(np.ascontiguousarray(array[..., ::-1]))[1]
        if faces is None:
            return None
        x, y, w, h = max(faces, key=lambda face: float(face[-1]))[:4]
        return around_box((x, y, x + w, y + h), height, width)


def around_box(box: Box, height: int, width: int) -> Region:
    """Rows and columns of `box` with a margin, inside a picture of `height` x `width`.

    Raises:
        InputError: below 16 px, too small for the figures.
    """
    x0, y0, x1, y1 = box
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    rows = slice(max(0, int(y0 - down)), min(height, int(y1 + down)))
    columns = slice(max(0, int(x0 - across)), min(width, int(x1 + across)))
    if min(rows.stop - rows.start, columns.stop - columns.start) < 16:
        raise InputError(f"the face found in a picture of {width}x{height} is below 16 px")
    return rows, columns
