"""`FaceAnalyzer`: what finds and recognises faces, and what all backends have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import InputError
from ..image_files import check_image
from .face import Face
from .faces import Faces, in_order

LEAST_EYES = (2.5, 5.0)
"""Pixels between the eyes of the smallest faces that are looked for by default: in tiny pictures, and in others."""
SIDE_PER_EYES = 51.2
SMALL_EYES, SMALL_SCORE = 12.0, 0.97
SEARCHED = 16_000_000
"""Pixels that an enlarged copy of a picture may have to be searched: about 4 s of a core for all looks at it."""
FINEST_EYES = 100 / 3
"""Pixels between the eyes of the smallest faces in that copy."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Licence:
    """The licence of a backend's code and weights."""

    text: str
    commercial_use: bool

    def __str__(self) -> str:
        return f"{self.text}; commercial use: {'yes' if self.commercial_use else 'NO'}"


@dataclass(frozen=True)
class DetectionOptions:
    """Which faces count.

    Attributes:
        min_score: least confidence, 0..1.
        min_eye_distance: pixels of the picture; smaller faces are left out. The detector looks as finely as this asks.
            0: follows the picture, see `least_eyes`.
        max_faces: the largest of each picture are kept; 0: all.
    """

    min_score: float = 0.5
    min_eye_distance: float = 0.0
    max_faces: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise InputError(f"minimum score {self.min_score}: must be from 0 to 1")
        if not (self.min_eye_distance == 0 or 1 <= self.min_eye_distance < math.inf):
            raise InputError(
                f"minimum eye distance {self.min_eye_distance}: must be at least 1 px, or 0, which follows the picture"
            )
        if self.max_faces < 0:
            raise InputError(f"maximum number of faces {self.max_faces}: must be 0 (all) or more")

    def least_eyes(self, height: int, width: int) -> float:
        """Least eye distance in pixels that counts in a picture of this size.

        The given one; else a fiftieth of the longer side from 2.5 up to 5 px (at 256 px), and 5 px as long as a copy of
        `SEARCHED` pixels is fine enough for that (600x600). From there on it grows with the picture, so that the search
        takes the same time: 9 px at 1024x1024, 29 px at 12 megapixels.
        """
        if self.min_eye_distance:
            return self.min_eye_distance
        fine = min(LEAST_EYES[1], max(LEAST_EYES[0], max(height, width) / SIDE_PER_EYES))
        return max(fine, FINEST_EYES * (height * width / SEARCHED) ** 0.5)


class FaceAnalyzer(Protocol):
    """Finds faces and turns them into embeddings; see `AnalyzerBase` for what an implementation has to write."""

    @property
    def name(self) -> str:
        """The backend's name, as `load_face_analyzer` takes it."""
        ...

    @property
    def analyzer_id(self) -> str:
        """What `Faces.analyzer` holds: the name, and what loads it again, as "insightface:buffalo_l"."""
        ...

    @property
    def licence(self) -> Licence: ...

    @property
    def embedder_id(self) -> str:
        """Which recogniser the embeddings are of; only those of one recogniser can be compared. "" without one."""
        ...

    def detect(self, image: torch.Tensor, options: DetectionOptions = ...) -> Faces:
        """The faces in pictures `[B,3,H,W]` in 0..1, sorted by `in_order`.

        Raises:
            InputError: the pictures hold NaN or have a wrong shape.
        """
        ...

    def embed(self, image: torch.Tensor, faces: Faces) -> Faces:
        """`faces` (scaled to the pictures) with unit embeddings `[D]`.

        Raises:
            InputError: another number of pictures, or this analyzer has no recogniser.
        """
        ...


class AnalyzerBase(ABC):
    """Batches, order, thresholds and checks; a backend adds `_find` and `_embed` on one picture."""

    name: str
    licence: Licence
    embedder_id: str
    needs: str
    """Files that the user has to put somewhere; "" for none."""

    @property
    def analyzer_id(self) -> str:
        """As the protocol says."""
        return self.name

    def detect(self, image: torch.Tensor, options: DetectionOptions | None = None) -> Faces:
        """As the protocol says."""
        check_image(image)
        options = options or DetectionOptions()
        pictures = [image[index : index + 1].float().cpu().clamp(0, 1) for index in range(len(image))]
        resolved = replace(options, min_eye_distance=options.least_eyes(*image.shape[-2:]))
        by_picture = [self._find(picture, resolved) for picture in pictures]
        if not options.min_eye_distance:
            longer = max(image.shape[-2:])
            by_picture = [[face for face in faces if not doubtful(face, longer)] for faces in by_picture]
        found = tuple(select(faces, resolved) for faces in by_picture)
        return Faces(found, image.shape[-2], image.shape[-1], self.analyzer_id)

    def embed(self, image: torch.Tensor, faces: Faces) -> Faces:
        """As the protocol says."""
        check_image(image)
        faces.check_batch(len(image))
        if not self.embedder_id:
            raise InputError(f"{self.name} detects faces but cannot recognise them: load an analyzer that can")
        faces = faces.scaled_to(*image.shape[-2:])
        embedded: list[tuple[Face, ...]] = []
        for index, here in enumerate(faces):
            picture = image[index : index + 1].float().cpu().clamp(0, 1)
            vectors = self._embed(picture, here) if here else []
            embedded.append(
                tuple(replace(face, embedding=unit(vector)) for face, vector in zip(here, vectors, strict=True))
            )
        return replace(faces, pictures=tuple(embedded), analyzer=self.analyzer_id)

    @abstractmethod
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        """Faces of `[1,3,H,W]` in 0..1 on the CPU, in any order; `select` is applied to them."""

    @abstractmethod
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        """Vectors `[D]` of any length, one a face."""


def doubtful(face: Face, longer_side: int) -> bool:
    """Whether a small face in a large picture is too unsure to be taken when nobody asked for small faces.

    Small means eyes closer than `SMALL_EYES` px and than a fiftieth of the longer side: the more places of a picture
    are looked at, the more of them look like a face.
    """
    return face.score < SMALL_SCORE and face.eye_distance < min(SMALL_EYES, longer_side / SIDE_PER_EYES)


def select(faces: Sequence[Face], options: DetectionOptions) -> tuple[Face, ...]:
    """Sorted, above the thresholds, each face once, not more than asked for."""
    good = [
        face
        for face in faces
        if face.score >= options.min_score
        and face.eye_distance >= options.min_eye_distance
        and bool(face.landmarks.isfinite().all())
        and all(math.isfinite(edge) for edge in face.box)
        and face.box[0] < face.box[2]
        and face.box[1] < face.box[3]
    ]
    ordered = in_order(without_doubles(good))
    return ordered[: options.max_faces] if options.max_faces else ordered


def without_doubles(faces: Sequence[Face]) -> list[Face]:
    """The faces, but of those whose centres are closer than 0.7 eye distances of the larger one only the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        centre = face.landmarks.mean(0)
        if all(
            float((centre - other.landmarks.mean(0)).norm()) > 0.7 * max(face.eye_distance, other.eye_distance)
            for other in kept
        ):
            kept.append(face)
    return kept


def enlarged(picture: torch.Tensor, needed: float, smallest: float, max_side: int) -> torch.Tensor:
    """`picture` `[1,3,H,W]` enlarged until faces of eye distance `smallest` have `needed` px; at most `max_side` px.

    A picture that is larger than `max_side` is reduced to it.
    """
    height, width = picture.shape[-2:]
    factor = min(max(1.0, needed / smallest), max_side / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.interpolate(picture, size=size, mode="bicubic", antialias=factor < 1).clamp(0, 1)


def unit(vector: torch.Tensor) -> torch.Tensor:
    """`vector` `[D]` at length 1. Raises `InputError` when it is zero or not finite."""
    length = float(vector.norm())
    if not 0 < length < float("inf"):
        raise InputError(f"the recogniser gave an embedding of length {length}: its model file is damaged")
    return (vector / length).float()


def to_bytes(picture: torch.Tensor) -> Pixels:
    """`[1,3,H,W]` in 0..1 as contiguous 8-bit RGB `[H,W,3]`."""
    return (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()


def to_bgr(picture: torch.Tensor) -> Pixels:
    """As `to_bytes`, in OpenCV's order of colours."""
    return np.ascontiguousarray(to_bytes(picture)[..., ::-1])
