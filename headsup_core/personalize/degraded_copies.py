"""Examples for a one-step model: degraded copies of a person's aligned photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..faces.alignment import FFHQ_512, crop, transform_points, turned
from ..identity.identity import CROP_SIDE
from ..training.data import enlarge
from ..training.degradation import degrade
from ..training.portraits import bent

ZOOM = (0.75, 1.0)
"""How much of an aligned photo's side a copy shows."""
TURN = 0.15
"""Standard deviation of a copy's rotation in radians."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Attributes:
    bad: degraded and enlarged again, `[B,3,S,S]`.
    good: as they should become, `[B,3,S,S]`, both in 0..1.
    landmarks: of the faces, `[B,5,2]`.
    """

    bad: torch.Tensor
    good: torch.Tensor
    landmarks: torch.Tensor


def draw_copies(
    photos: torch.Tensor, size: int, degradations: Sequence[str], count: int, seed: Sequence[int], *, bend: bool
) -> Copies:
    """`count` copies of photos by chance, turned and cut a little otherwise; the same for the same `seed`.

    Args:
        photos: `[n,3,512,512]` in 0..1, aligned.
        size: S in pixels, a multiple of the degradations' scales.
        bend: the first photo is the reference, too: bend its copies, so that copying its pixels does not pay.
    """
    made: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for number in range(count):
        rng = np.random.default_rng([*seed, number])
        index = int(rng.integers(len(photos)))
        photo = photos[index : index + 1]
        if bend and index == 0:
            photo = bent(photo, rng)
        matrix = _view(rng, size)
        good = crop(photo, matrix, size)
        small = degrade(good, degradations[int(rng.integers(len(degradations)))], int(rng.integers(2**31)))
        made.append((enlarge(small, size), good, transform_points(matrix, FFHQ_512)))
    bad, good, landmarks = zip(*made, strict=True)
    return Copies(torch.cat(bad), torch.cat(good), torch.stack(landmarks))


def _view(rng: np.random.Generator, size: int) -> torch.Tensor:
    """`[2,3]` from an aligned photo to a copy of `size` px: about the photo's middle, moved where there is room."""
    part = rng.uniform(*ZOOM)
    scale, angle = size / (CROP_SIDE * part), rng.normal(0, TURN)
    room = CROP_SIDE * (1 - part) / 2
    middle = torch.from_numpy(rng.uniform(-room, room, 2)).float() + (CROP_SIDE - 1) / 2
    return turned(scale, angle, middle, torch.full((2,), (size - 1) / 2))
