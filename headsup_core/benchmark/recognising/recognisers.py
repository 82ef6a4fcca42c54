"""Who a face is, by recognisers of which one at least was never trained against."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from ...errors import InputError
from ...faces.alignment import align_matrix, crop
from ...faces.analyzer import FaceAnalyzer, unit
from ...faces.face import Face
from ...faces.faces import Faces
from ...identity.similarity import ASSUMED, CALIBRATIONS, Calibration
from ...training.losses.differentiable_recognisers import SIDE, aligned_landmarks, load_recogniser, told_embedding
from ..figures import TO_REFERENCE


class Recogniser(Protocol):
    """Turns a face into a unit vector."""

    @property
    def name(self) -> str: ...

    @property
    def calibration(self) -> Calibration:
        """The published means of this recogniser; `measured` is False when there are none."""
        ...

    @property
    def trained_against(self) -> bool:
        """Whether the identity loss of what is measured used it: such a figure is no independent judge."""
        ...

    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        """Unit vector `[D]` of a face in a picture `[1,3,H,W]` in 0..1."""
        ...


@dataclass(frozen=True, eq=False)
class AnalyzersRecogniser:
    """That of a face analyzer."""

    analyzer: FaceAnalyzer
    trained_against: bool = False

    @property
    def name(self) -> str:
        return self.analyzer.name

    @property
    def calibration(self) -> Calibration:
        return CALIBRATIONS.get(self.analyzer.embedder_id, ASSUMED)

    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        embedded = self.analyzer.embed(image, Faces(((face,),), image.shape[-2], image.shape[-1]))[0][0].embedding
        assert embedded is not None  # noqa: S101 - narrows the type: the face comes out of embed()
        return embedded


@dataclass(frozen=True, eq=False)
class NetworkRecogniser:
    """A network that is shown the aligned face.

    Attributes:
        network: faces `[B,3,112,112]` in 0..1 -> embeddings `[B,D]`.
    """

    network: nn.Module
    name: str
    trained_against: bool
    calibration: Calibration = ASSUMED

    @classmethod
    def from_file(cls, path: Path, *, trained_against: bool = False) -> NetworkRecogniser:
        """Called by the file's name. Raises `InputError` for a name that cannot head a column, else as
        `load_recogniser`."""
        if not re.fullmatch(r"[\w.-]+", path.stem) or path.stem.endswith(TO_REFERENCE):
            raise InputError(
                f"recogniser {path.name!r}: figures are called by the file's name, which may have letters, digits, "
                f"'.', '-' and '_' and not end in {TO_REFERENCE}: rename it"
            )
        return cls(load_recogniser(path), path.stem, trained_against)

    @torch.no_grad()
    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        aligned = crop(image, align_matrix(face.landmarks, SIDE, "arcface"), SIDE)
        points = aligned_landmarks(face.landmarks[None])
        return unit(told_embedding(self.network, points, aligned.clamp(0, 1))[0])
