"""Where the face is in a clean picture, for figures of the face alone: plain backgrounds flatter whole pictures."""

from __future__ import annotations

from pathlib import Path

import torch

from ...errors import InputError
from ...faces.backends.yunet import YuNet
from ...faces.face import Box

Region = tuple[slice, slice]
"""Rows and columns."""
MARGIN = 0.1
"""The detector's box is enlarged by this share of its size on each side."""
MIN_SCORE = 0.7
"""What the detector is less sure of is no face here."""


class FaceRegion:
    """The best face that YuNet finds.

    Args:
        model: its ONNX file.

    Raises:
        InputError: OpenCV is not installed.
        ModelFileError: the file is missing or damaged.
    """

    def __init__(self, model: Path) -> None:
        self._detector = YuNet(model, "measuring faces")

    def __call__(self, image: torch.Tensor) -> Region | None:
        """Rows and columns of the face in a picture `[1,3,H,W]` in 0..1; None when there is none.

        Raises:
            InputError: the face is too small for the figures.
        """
        best = self._detector.best(image, MIN_SCORE)
        return None if best is None else around_box(best.box, *image.shape[-2:])


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
