"""Colour of 16 bits per channel, of which Pillow gives 8: OpenCV decodes it, and must agree with Pillow."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt


def decode_deep(data: bytes, seen: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint16] | None:
    """The values `[H,W,C]` of a PNG or TIFF of 16 bits per channel.

    OpenCV reads some damaged files as far as they go and says nothing, so what it gives only counts where its upper
    bytes are those that Pillow read.

    Args:
        data: the file.
        seen: `[H,W,C]`, what Pillow gives, RGB or RGBA.
        orientation: of the file; Pillow turns a TIFF by itself.

    Returns:
        None when OpenCV is missing, or does not agree: 8 bits must do.
    """
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError:
        return None
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None or values.dtype != np.uint16:
        return None
    values = values[..., None].repeat(3, axis=2) if values.ndim == 2 else values
    if values.shape[2] < seen.shape[2]:
        return None
    values = values[..., [2, 1, 0, 3][: values.shape[2]]][..., : seen.shape[2]]
    for turned in (values, upright(values, orientation)):
        if turned.shape == seen.shape and int(abs((turned >> 8).astype(np.int16) - seen).max()) <= 1:
            return np.ascontiguousarray(turned)
    return None


def upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """`[H,W,...]` as it is to be seen, by the value of EXIF's Orientation; any other value than 1..8 turns nothing."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values[::-1] if orientation in (3, 4, 7, 8) else values
