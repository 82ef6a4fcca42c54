"""Who a face is, by recognisers of which one at least was never trained against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from ..faces.alignment import align_matrix, crop
from ..faces.analyzer import FaceAnalyzer, unit
from ..faces.face import Face
from ..faces.faces import Faces
from ..identity.similarity import ASSUMED, CALIBRATIONS, Calibration
from ..training.recogniser import SIDE, load_recogniser


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
        """Whether HeadsUp's identity loss uses it: such a figure is no independent judge."""
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
    def from_file(cls, path: Path) -> NetworkRecogniser:
        """MobileFaceNet, which the identity loss of headsup-tiny uses, or an ONNX file, called by the file's name.

        Raises as `load_recogniser`.
        """
        independent = path.suffix.lower() == ".onnx"
        name = path.stem if independent else "mobilefacenet"
        return cls(load_recogniser(path), name, trained_against=not independent)

    @torch.no_grad()
    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        aligned = crop(image, align_matrix(face.landmarks, SIDE, "arcface"), SIDE)
        return unit(self.network(aligned.clamp(0, 1))[0])
