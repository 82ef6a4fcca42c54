"""Faces as the SEGS of ComfyUI-Impact-Pack, so that its detailers take them. The pack itself is not needed.

SEGS are a pair: the picture's (height, width), and a list of tuples with the fields of `SEG`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import InputError
from .face import Box
from .faces import Faces
from .masks import Outline, faces_mask

LABEL = "face"


class SEG(NamedTuple):
    """One face; names and order of the fields are Impact Pack's.

    Attributes:
        cropped_image: `[1,h,w,3]` in 0..1.
        cropped_mask: float32 `[h,w]` in 0..1.
        confidence: 0..1.
        crop_region: x0, y0, x1, y1 of the crop in the picture; whole pixels, the end not included.
        bbox: the same of the face's box, inside the picture.
        control_net_wrapper: filled by Impact Pack.
    """

    cropped_image: torch.Tensor | None
    cropped_mask: np.ndarray[Any, np.dtype[np.float32]]
    confidence: float
    crop_region: list[int]
    bbox: list[int]
    label: str
    control_net_wrapper: None = None


Segs = tuple[tuple[int, int], list[SEG]]


def faces_to_segs(
    faces: Faces,
    image: torch.Tensor,
    crop_factor: float = 3.0,
    outline: Outline = Outline(feather=0.0),  # noqa: B008 - frozen
    only: Sequence[int] | None = None,
) -> Segs:
    """The faces of the first picture; SEGS know only one.

    Args:
        image: `[B,3,H,W]` in 0..1; the faces are scaled to it.
        crop_factor: side of the crop over the side of the face's box, at least 1; it stays inside the picture.
        outline, only: of the mask, as `faces_mask` takes them; "parsing" is not among the shapes.

    Raises:
        InputError: a factor below 1, another number of pictures, or an index without a face.
    """
    if not crop_factor >= 1:
        raise InputError(f"crop factor {crop_factor}: must be 1 (the face's box) or more")
    faces.check_pictures(image)
    height, width = image.shape[-2:]
    faces = faces.scaled_to(height, width)
    segs: list[SEG] = []
    for index in range(len(faces[0])) if only is None else only:
        mask = faces_mask(faces, 0, outline, [index])  # also refuses a wrong index
        face = faces[0][index]
        bbox = _inside(face.box, height, width)
        if bbox is None:
            continue
        x0, x1 = _span(bbox[0], bbox[2], crop_factor, width)
        y0, y1 = _span(bbox[1], bbox[3], crop_factor, height)
        crop = image[:1, :, y0:y1, x0:x1].float().cpu().permute(0, 2, 3, 1).contiguous()
        cropped_mask = mask[0, 0, y0:y1, x0:x1].contiguous().numpy()
        segs.append(SEG(crop, cropped_mask, float(face.score), [x0, y0, x1, y1], bbox, LABEL))
    return (height, width), segs


def _inside(box: Box, height: int, width: int) -> list[int] | None:
    """The whole pixels of the picture that a box touches; None when it lies outside."""
    x0, y0 = max(0, math.floor(box[0] + 0.5)), max(0, math.floor(box[1] + 0.5))
    x1, y1 = min(width, math.ceil(box[2] + 0.5)), min(height, math.ceil(box[3] + 0.5))
    return [x0, y0, x1, y1] if x0 < x1 and y0 < y1 else None


def _span(low: int, high: int, factor: float, side: int) -> tuple[int, int]:
    """`low` to `high` widened about its middle by `factor`, moved and at last cut to lie in 0..`side`."""
    length = min(side, round((high - low) * factor))
    start = min(max(0, round((low + high - length) / 2)), side - length)
    return start, start + length
