"""Five landmarks of a face in a picture: annotated beside it, found by a teacher, moved into a crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...errors import InputError
from ...faces.alignment import align_matrix, inverse, transform_points
from .pixels import as_image

FindLandmarks = Callable[[torch.Tensor], torch.Tensor | None]
"""Landmarks `[5,2]` of the best face of `[1,3,H,W]` in 0..1, None without one."""
FindEveryone = Callable[[torch.Tensor], Sequence[torch.Tensor]]
"""Landmarks `[5,2]` of every face of `[1,3,H,W]` in 0..1."""

MIRROR = [1, 0, 2, 4, 3]
"""Which landmark each one is in the mirrored picture."""
# Points of the London Set's 189-point annotation: the pupils, the tip of the nose, the corners of the mouth.
TEM_POINTS = (0, 1, 55, 87, 93)
TEM_NOSE_RISE = 0.08
"""Eye distances by which detectors place the nose above the annotation's point 55."""


def read_tem(path: Path) -> torch.Tensor:
    """Landmarks `[5,2]` of a London annotation file."""
    values = [float(token) for token in path.read_text().split()]
    points = torch.tensor(values[1 : 1 + 2 * int(values[0])]).reshape(-1, 2)[list(TEM_POINTS)]
    across = points[1] - points[0]
    down = torch.stack([-across[1], across[0]])
    points[2] -= TEM_NOSE_RISE * down
    return points


def find_landmarks(path: Path, picture: Image.Image, teacher: FindLandmarks | None) -> torch.Tensor | None:
    """Landmarks `[5,2]` in `picture`, the file's picture, perhaps reduced; by annotation where there is one.

    Raises:
        InputError: neither an annotation nor a teacher.
    """
    annotated = path.with_suffix(".tem")
    if not annotated.exists():
        if teacher is None:
            raise InputError(f"{path} has no landmarks beside it ({annotated.name}): name a teacher, or no references")
        return teacher(as_image(np.asarray(picture)))
    with Image.open(path) as original:
        factor = picture.width / original.width
    return (read_tem(annotated) + 0.5) * factor - 0.5


def placed_landmarks(
    landmarks: torch.Tensor, corner: Sequence[float], side: float, size: int, mirrored: bool
) -> torch.Tensor:
    """Landmarks `[5,2]` in a crop of `size` px of the square at `corner` with `side`, perhaps mirrored."""
    points = (landmarks + 0.5 - torch.tensor(corner)) * (size / side) - 0.5
    return mirrored_landmarks(points, size) if mirrored else points


def mirrored_landmarks(points: torch.Tensor, size: int) -> torch.Tensor:
    """Landmarks of the mirrored picture of `size` px: left and right change their names."""
    return torch.stack([size - 1 - points[:, 0], points[:, 1]], dim=1)[MIRROR]


def lies_inside(landmarks: torch.Tensor, size: int) -> bool:
    """Whether the face's ArcFace crop lies wholly in a crop of `size` px."""
    corners = torch.tensor([[0.0, 0.0], [111.0, 0.0], [0.0, 111.0], [111.0, 111.0]])
    placed = transform_points(inverse(align_matrix(landmarks, 112, "arcface")), corners)
    return bool((placed >= 0).all() and (placed <= size - 1).all())
