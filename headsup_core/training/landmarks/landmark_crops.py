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
from ...faces.landmarks import EYES_PER_SIDE, SIDE, Candidate
from ...image_files import read_picture
from ...libraries import need
from ..data.degradation import FirstOrder, degrade
from ..data.people_by_name import list_pictures, split_by_person

OVERSAMPLING = 3
"""Crops are cut this much finer than the net's input, degraded, then reduced to it."""
STORED_EYES = 60.0
"""Eye distance in pixels that the pictures are reduced to in memory."""
MIRROR = [1, 0, 2, 4, 3]
DEGRADATIONS = tuple(
    FirstOrder(0.5, (0.2, 2.0), (0, 25 if scale < 6 else 10), (25, 95), 0.8, scale=scale)
    for scale in (1, 2, 3, 4, 6, 8)
)

# Points of the London Set's 189-point annotation: the pupils, the tip of the nose, the corners of the mouth.
TEM_POINTS = (0, 1, 55, 87, 93)
TEM_NOSE_RISE = 0.08
"""Eye distances by which detectors place the nose above the annotation's point 55."""


@dataclass(frozen=True, eq=False)
class KnownFace:
    """A picture `[H,W,3]` of 8-bit RGB and the landmarks `[5,2]` of its only face; no landmarks: no face in it."""

    picture: np.ndarray[Any, np.dtype[np.uint8]]
    landmarks: torch.Tensor | None

    def candidate(self) -> Candidate:
        """The face, exactly placed."""
        assert self.landmarks is not None  # noqa: S101 - narrows the type
        centre, eyes = self.landmarks.mean(0), self.landmarks[1] - self.landmarks[0]
        x, y = centre.tolist()
        return Candidate(x, y, float(eyes.norm()), math.atan2(float(eyes[1]), float(eyes[0])))


class Teacher:
    """OpenCV's YuNet, asked at three sizes and averaged: landmarks of clean portraits that nobody annotated."""

    def __init__(self, model: Path) -> None:
        self._cv2: Any = need("cv2", "opencv-python", "training the landmark net")
        self._detector: Any = self._cv2.FaceDetectorYN.create(str(model), "", (320, 320), 0.6)

    def __call__(self, image: torch.Tensor) -> torch.Tensor | None:
        """Landmarks `[5,2]` of the best face of `[1,3,H,W]`, None without one."""
        height, width = image.shape[-2:]
        answers: list[torch.Tensor] = []
        for longest in (280, 340, 400):
            factor = longest / max(height, width)
            size = (round(height * factor), round(width * factor))
            small = F.interpolate(image, size=size, mode="bilinear", antialias=True)
            array = (small[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
            self._detector.setInputSize((size[1], size[0]))
            found = self._detector.detect(np.ascontiguousarray(array[..., ::-1]))[1]
            if found is None:
                return None
            best = max(found, key=lambda row: float(row[-1]))
            answers.append((torch.from_numpy(best[4:14].reshape(5, 2)) + 0.5) / factor - 0.5)
        return torch.stack(answers).mean(0).float()


def read_tem(path: Path) -> torch.Tensor:
    """Landmarks `[5,2]` of a London annotation file."""
    values = [float(token) for token in path.read_text().split()]
    points = torch.tensor(values[1 : 1 + 2 * int(values[0])]).reshape(-1, 2)[list(TEM_POINTS)]
    across = points[1] - points[0]
    down = torch.stack([-across[1], across[0]])
    points[2] -= TEM_NOSE_RISE * down
    return points


def load_faces(folders: Sequence[Path], hold_out: int, teacher: Teacher) -> list[KnownFace]:
    """Every portrait of the folders but those of the held-out people, by annotation where there is one."""
    faces: list[KnownFace] = []
    for folder in folders:
        files, _ = split_by_person(list_pictures(folder), hold_out)
        for path in tqdm(files, desc=folder.name, disable=None, leave=False):
            image = read_picture(path).rgb
            annotated = path.with_suffix(".tem")
            landmarks = read_tem(annotated) if annotated.exists() else teacher(image)
            if landmarks is not None:
                faces.append(_reduced(image, landmarks))
    return faces


def load_others(folders: Sequence[Path], teacher: Teacher) -> list[KnownFace]:
    """Pictures without a face; those in which the teacher sees one are left out."""
    pictures = [read_picture(path).rgb for folder in folders for path in list_pictures(folder)]
    return [KnownFace(_to_bytes(image), None) for image in pictures if teacher(image) is None]


def _reduced(image: torch.Tensor, landmarks: torch.Tensor) -> KnownFace:
    factor = min(1.0, STORED_EYES / float((landmarks[1] - landmarks[0]).norm()))
    size = [round(edge * factor) for edge in image.shape[-2:]]
    small = F.interpolate(image, size=size, mode="bilinear", antialias=True)
    scale = torch.tensor([size[1] / image.shape[-1], size[0] / image.shape[-2]])
    return KnownFace(_to_bytes(small), (landmarks + 0.5) * scale - 0.5)


def _to_bytes(image: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (image[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


Sample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class LandmarkDataset(Dataset[Sample]):
    """Crops `[3,64,64]`, landmarks `[5,2]` in their pixels, 1.0 for a face or 0.0.

    Item i depends on (seed, i) alone.
    """

    def __init__(self, faces: Sequence[KnownFace], others: Sequence[KnownFace], length: int, seed: int) -> None:
        self._faces, self._others = faces, others
        self._length, self._seed = length, seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
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
            return crop, torch.zeros(5, 2), torch.tensor(0.0)
        points = transform_points(matrix, known.landmarks)
        if rng.random() < 0.5:
            crop = crop.flip(-1)
            points = torch.stack([SIDE - 1 - points[:, 0], points[:, 1]], dim=1)[MIRROR]
        return crop, points, torch.tensor(1.0)


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


def _anywhere(other: KnownFace, rng: np.random.Generator) -> Candidate:
    height, width = other.picture.shape[:2]
    eyes = min(height, width) / EYES_PER_SIDE * math.exp(rng.uniform(-2.5, 0))
    return Candidate(rng.uniform(0, width), rng.uniform(0, height), eyes, rng.normal(0, 0.5))




def _cut(picture: np.ndarray[Any, np.dtype[np.uint8]], matrix: torch.Tensor) -> torch.Tensor:
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
