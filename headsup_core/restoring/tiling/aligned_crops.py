"""Whole pictures through a model that restores aligned faces only: each face is cut, restored and laid back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...faces.alignment import align_matrix, crop, paste
from ...faces.face import Face
from ..session import Run
from ..stages import Restored, restore_picture
from .tiled_run import Tiling

FEATHER = 1 / 8
"""The crop fades out over this share of its side at each border."""


def restore_faces(picture: torch.Tensor, faces: Sequence[Face], run: Run, tiling: Tiling) -> Restored:
    """`picture` `[1,3,H,W]` in 0..1 with each of `faces`, in its pixels, restored; elsewhere it is as it was.

    Faces are aligned to the FFHQ template at the size that the model was trained on. Where crops overlap, the face that
    comes first in `faces` (the largest) lies on top. Raises as `restore_picture` does.
    """
    run = replace(run, small=None)  # of each face, the crop
    side = run.model.aligned_face
    opacity = soft_square(side)
    result, settled = picture, tiling
    for face in reversed(faces):
        matrix = align_matrix(face.landmarks, side)
        aligned = crop(picture, matrix, side).clamp(0, 1)
        restored = restore_picture(aligned, run, tiling)
        settled = restored.tiling
        result = paste(result, restored.picture.clamp(0, 1), matrix, opacity)
    return Restored(result, result, settled)


def soft_square(side: int, feather: float = FEATHER) -> torch.Tensor:
    """`[1,1,side,side]`: 1 inside, a smooth step to 0 at the border, `feather` of the side wide."""
    places = torch.arange(side, dtype=torch.float32)
    distance = torch.minimum(places, side - 1 - places)
    ramp = (distance / (feather * side)).clamp(0, 1) if feather else torch.ones(side)
    smooth = ramp * ramp * (3 - 2 * ramp)
    return (smooth[:, None] * smooth[None, :])[None, None]
