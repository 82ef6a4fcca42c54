"""Crops with known landmarks for the landmark net: faces turned, shifted and degraded, and what is no face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset
from tqdm import tqdm

from ...faces.alignment import transform_points
from ...faces.analyzer import Pixels, to_bytes
from ...faces.landmarks import EYES_PER_SIDE, SIDE, Candidate
from ..data.degradation import FirstOrder, degrade
from ..data.landmark_annotations import FindLandmarks, mirrored_landmarks
from ..data.photos import list_photos
from ..data.pixels import as_image
from ..subject import Batch

OVERSAMPLING = 3
"""Crops are cut this much finer than the net's input, degraded, then reduced to it."""
AS_LARGE_AS_IT_IS = 1 << 20
"""Pixels to which no picture is reduced when it is read."""
STORED_EYES = 60.0
"""Eye distance in pixels that the pictures are reduced to in memory."""
DEGRADATIONS = tuple(
    FirstOrder(0.5, (0.2, 2.0), (0, 25 if scale < 6 else 10), (25, 95), 0.8, scale=scale)
    for scale in (1, 2, 3, 4, 6, 8)
)


@dataclass(frozen=True, eq=False)
class LandmarkExample:
    """A picture `[H,W,3]` of 8-bit RGB and the landmarks `[5,2]` of its only face; no landmarks: no face in it."""

    picture: Pixels
    landmarks: torch.Tensor | None

    def candidate(self) -> Candidate:
        """The face, exactly placed."""
        assert self.landmarks is not None  # noqa: S101 - narrows the type
        centre, eyes = self.landmarks.mean(0), self.landmarks[1] - self.landmarks[0]
        x, y = centre.tolist()
        return Candidate(x, y, float(eyes.norm()), math.atan2(float(eyes[1]), float(eyes[0])))


def load_faces(folders: Sequence[Path], hold_out: int, teacher: FindLandmarks) -> list[LandmarkExample]:
    """Every portrait of the folders (or indexes) but those of the held-out people, by annotation where there is one."""
    faces: list[LandmarkExample] = []
    for folder in folders:
        photos, _ = list_photos(folder, hold_out)
        for photo in tqdm(photos, desc=folder.name, disable=None, leave=False):
            picture = photo.read(AS_LARGE_AS_IT_IS)
            image = as_image(np.asarray(picture))
            faces += [_reduced(image, landmarks) for landmarks in photo.faces(picture, teacher)]
    return faces


def load_others(folders: Sequence[Path], teacher: FindLandmarks) -> list[LandmarkExample]:
    """Pictures without a face; those in which the teacher sees one are left out."""
    pictures = [photo.read(AS_LARGE_AS_IT_IS) for folder in folders for photo in list_photos(folder)[0]]
    arrays = [np.asarray(picture) for picture in pictures]
    return [LandmarkExample(array, None) for array in arrays if teacher(as_image(array)) is None]


def _reduced(image: torch.Tensor, landmarks: torch.Tensor) -> LandmarkExample:
    factor = min(1.0, STORED_EYES / float((landmarks[1] - landmarks[0]).norm()))
    size = [round(edge * factor) for edge in image.shape[-2:]]
    small = F.interpolate(image, size=size, mode="bilinear", antialias=True)
    scale = torch.tensor([size[1] / image.shape[-1], size[0] / image.shape[-2]])
    return LandmarkExample(to_bytes(small), (landmarks + 0.5) * scale - 0.5)


class LandmarkDataset(Dataset[Batch]):
    """Samples: crop `[3,64,64]` in 0..1, points `[5,2]` in its pixels (zero without a face), is_face 1.0 or 0.0.

    Item i depends on (seed, i) alone.
    """

    def __init__(
        self, faces: Sequence[LandmarkExample], others: Sequence[LandmarkExample], length: int, seed: int
    ) -> None:
        self._faces, self._others = faces, others
        self._length, self._seed = length, seed

    def resized(self, length: int, seed: int) -> LandmarkDataset:
        """The same pictures, another number of samples by another seed."""
        return LandmarkDataset(self._faces, self._others, length, seed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self._seed, index])
        kind = rng.random()
        if kind < 0.65:
            known = self._faces[int(rng.integers(len(self._faces)))]
            wanted = _nearby(known.candidate(), rng)
        elif kind < 0.82:
            known = self._others[int(rng.integers(len(self._others)))]
            wanted = _anywhere(known, rng)
        else:
            known = self._faces[int(rng.integers(len(self._faces)))]
            wanted = _beside(known.candidate(), rng)
        matrix = wanted.matrix()
        crop = degrade_crop(_cut(known.picture, matrix), rng)
        crop = _jitter(crop, rng)
        if kind >= 0.65 or known.landmarks is None:
            return {"crop": crop, "points": torch.zeros(5, 2), "is_face": torch.tensor(0.0)}
        points = transform_points(matrix, known.landmarks)
        if rng.random() < 0.5:
            crop = crop.flip(-1)
            points = mirrored_landmarks(points, SIDE)
        return {"crop": crop, "points": points, "is_face": torch.tensor(1.0)}


def _nearby(exact: Candidate, rng: np.random.Generator) -> Candidate:
    """About where a detector points, or where a first look ended."""
    turn = rng.normal(0, 0.12) if rng.random() < 0.6 else rng.uniform(-1.0, 1.0)
    side = EYES_PER_SIDE * exact.eye_distance
    x, y = exact.x + rng.normal(0, 0.05) * side, exact.y + rng.normal(0, 0.05) * side
    return Candidate(x, y, exact.eye_distance * math.exp(rng.normal(0, 0.13)), exact.angle + turn)


def _beside(exact: Candidate, rng: np.random.Generator) -> Candidate:
    """No face, though one is near: far off the centre, at a wrong size, or upside down."""
    direction, side = rng.uniform(0, 2 * math.pi), EYES_PER_SIDE * exact.eye_distance
    choice = rng.random()
    if choice < 0.5:
        away = rng.uniform(0.5, 1.2) * side
        x, y = exact.x + away * math.cos(direction), exact.y + away * math.sin(direction)
        return Candidate(x, y, exact.eye_distance * math.exp(rng.normal(0, 0.3)), rng.normal(0, 0.3))
    if choice < 0.75:
        size = math.exp(rng.choice([-1, 1]) * rng.uniform(0.9, 1.5))
        return Candidate(exact.x, exact.y, exact.eye_distance * size, rng.normal(0, 0.2))
    return Candidate(exact.x, exact.y, exact.eye_distance, exact.angle + rng.uniform(1.8, 4.4))


def _anywhere(other: LandmarkExample, rng: np.random.Generator) -> Candidate:
    height, width = other.picture.shape[:2]
    eyes = min(height, width) / EYES_PER_SIDE * math.exp(rng.uniform(-2.5, 0))
    return Candidate(rng.uniform(0, width), rng.uniform(0, height), eyes, rng.normal(0, 0.5))


def _cut(picture: Pixels, matrix: torch.Tensor) -> torch.Tensor:
    """`[1,3,S,S]` in 0..1, S = 64 * OVERSAMPLING."""
    import cv2

    finer = matrix.clone()
    finer[:, 2] += 0.5
    finer = finer * OVERSAMPLING
    finer[:, 2] -= 0.5
    side = SIDE * OVERSAMPLING
    border: Any = cv2.BORDER_REFLECT_101
    cut = cv2.warpAffine(picture, finer.double().numpy(), (side, side), flags=cv2.INTER_LINEAR, borderMode=border)
    return torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255


def degrade_crop(fine: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The net's input `[3,64,64]` of a fine crop: blurred, reduced, with noise and JPEG, or nearly clean."""
    if rng.random() < 0.8:
        chosen = DEGRADATIONS[int(rng.integers(len(DEGRADATIONS)))]
        fine = degrade(fine, chosen, int(rng.integers(2**31)))
    reduced = F.interpolate(fine, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return reduced[0].clamp(0, 1)


def _jitter(crop: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Exposure, contrast and colour; sometimes grey, sometimes partly covered."""
    gain = torch.from_numpy(rng.uniform(0.75, 1.25, (3, 1, 1)).astype(np.float32))
    crop = ((crop - 0.5) * float(rng.uniform(0.6, 1.3)) * gain + 0.5 + float(rng.normal(0, 0.1))).clamp(0, 1)
    if rng.random() < 0.2:
        crop = crop.mean(0, keepdim=True).expand(3, -1, -1).clone()
    if rng.random() < 0.2:
        top, left = rng.integers(0, SIDE - 8, 2)
        height, width = rng.integers(6, 28, 2)
        crop[:, top : top + height, left : left + width] = float(rng.random())
    return crop
