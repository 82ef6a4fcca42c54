"""Who a face is, by recognisers of which one at least was never trained against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ..errors import InputError, ModelFileError
from ..faces.alignment import align_matrix, crop
from ..faces.analyzer import FaceAnalyzer, unit
from ..faces.face import Face
from ..faces.faces import Faces
from ..identity.similarity import ASSUMED, CALIBRATIONS, Calibration
from ..training.recogniser import SIDE, load_mobilefacenet


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
class MobileFaceNetRecogniser:
    """MobileFaceNet (arXiv 1804.07573), which the identity loss of training uses, too."""

    network: nn.Module
    name: str = "mobilefacenet"
    trained_against: bool = True
    calibration: Calibration = ASSUMED

    @classmethod
    def from_file(cls, path: Path) -> MobileFaceNetRecogniser:
        """Raises as `load_mobilefacenet`."""
        return cls(load_mobilefacenet(path))

    @torch.no_grad()
    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        return unit(self.network(_aligned(image, face))[0])


@dataclass(frozen=True, eq=False)
class OnnxRecogniser:
    """A recogniser in the form that InsightFace's are published in: aligned faces `[1,3,112,112]`, RGB in -1..1, to
    embeddings `[1,D]`. It is called what its file is called."""

    session: Any
    name: str
    trained_against: bool = False
    calibration: Calibration = ASSUMED

    @classmethod
    def from_file(cls, path: Path) -> OnnxRecogniser:
        """Raises `InputError` without onnxruntime, `ModelFileError` when the file is none or takes anything else."""
        if not path.is_file():
            raise ModelFileError(f"the recogniser {path} is missing")
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"{path.name} needs the package onnxruntime: pip install onnxruntime") from error
        try:
            session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each defect
            raise ModelFileError(f"{path} is no ONNX file that onnxruntime runs: {str(error)[:300]}") from error
        shape = session.get_inputs()[0].shape
        if len(shape) != 4 or list(shape[1:]) != [3, SIDE, SIDE]:
            raise ModelFileError(f"{path} takes {shape}, not aligned faces [1, 3, {SIDE}, {SIDE}]")
        return cls(session, path.stem)

    def embed(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        taken = self.session.get_inputs()[0].name
        aligned = _aligned(image, face) * 2 - 1
        return unit(torch.from_numpy(self.session.run(None, {taken: aligned.numpy()})[0]).flatten())


def load_recogniser(path: Path) -> Recogniser:
    """By the file's ending: .onnx, else MobileFaceNet's weights. Raises as `from_file` of either."""
    kind = OnnxRecogniser if path.suffix.lower() == ".onnx" else MobileFaceNetRecogniser
    return kind.from_file(path)


def _aligned(image: torch.Tensor, face: Face) -> torch.Tensor:
    """`[1,3,112,112]` in 0..1 from a picture `[1,3,H,W]`."""
    return crop(image, align_matrix(face.landmarks, SIDE, "arcface"), SIDE).clamp(0, 1)
