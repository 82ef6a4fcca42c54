"""IDFSR beside a one-step model: `load_model` and `restore` take its name as they take every other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..faces.alignment import paste, scale_of
from ..faces.face import Face
from ..faces.faces import Faces
from ..faces.reference import face_location
from ..host import Host, Progress
from ..identity.identity import Identity
from ..models.file_formats.weights_files import read_weights
from ..models.loading import bundled_models, find_model_file
from ..restoring import headsup_model
from ..restoring.headsup_model import HeadsUpModel
from ..restoring.people.face_painter import PaintedFace
from ..restoring.tiling.aligned_crops import soft_square
from .conditioning import aligned_face, cut_face, see
from .identity_vector import identity_vector
from .idfsr_file import BUNDLED_FOLDER, find_idfsr_file, is_idfsr_file, load_idfsr
from .idfsr_model import IDFSRModel
from .restore_faces import working_bytes

SMALL_EYES = 8.0
"""Pixels of the input between the eyes of a face, from which on the one-step model restores it with the photo."""
COARSEST = 1.5
"""A face is not painted where the picture shows it so many times as fine as the model."""


@dataclass(frozen=True, eq=False)
class IDFSRPainter:
    """An IDFSR model as `FacePainter`: faces whose eyes lie less than `SMALL_EYES` px apart in the input."""

    model: IDFSRModel

    @property
    def name(self) -> str:
        return self.model.architecture.card.name

    @property
    def side(self) -> int:
        return self.model.architecture.size

    @property
    def steps(self) -> int:
        return self.model.architecture.steps

    def wants(self, face: Face, factor: float) -> bool:
        own = aligned_face(self.side).eye_distance
        return face.eye_distance < SMALL_EYES * factor and face.eye_distance <= COARSEST * own

    def paint(self, onto: torch.Tensor, task: PaintedFace, host: Host, progress: Progress) -> torch.Tensor:
        """Raises `InputError` when the person has no embedding of the model's recogniser and no photo to embed."""
        record = self.model.architecture
        host.load([self.model.network], working_bytes(self.model, host.device))
        cut = cut_face(task.enlarged.float().cpu().clamp(0, 1), task.known.face, self.side)
        seen = see(cut.picture, cut.face, task.known.crop.cpu(), masked=record.masked)
        dtype = next(self.model.network.parameters()).dtype
        vector = identity_vector(task.person, self.model, task.analyzer)[None].to(host.device, dtype)

        def after(believed: torch.Tensor) -> None:
            progress.advance(1, believed[0].float().cpu())
            host.check_cancelled()

        placed = seen.moved(lambda part: part.to(host.device, dtype))
        restored = self.model.restore(placed, vector, after=after).float().cpu()
        if scale_of(cut.matrix) >= 1:  # the crop is finer than the picture: bilinear steps would skip its pixels
            restored = restored.clamp(0, 1)
        opacity = face_location(cut.face, self.side, self.side) * soft_square(self.side) * task.strength
        return paste(onto, restored.to(onto), cut.matrix, opacity.to(onto))


def is_idfsr(model: str | Path | None, host: Host | None = None) -> bool:
    """Whether a model's name or file, as `load_model` takes it, is IDFSR's. Raises as `find_any_model`."""
    if model is None or str(model) in bundled_models():
        return False
    path = find_any_model(model, host)
    return path.suffix == ".safetensors" and is_idfsr_file(read_weights(path, lambda tensor: False).metadata)


def find_any_model(model: str | Path, host: Host | None = None) -> Path:
    """The file of a model, IDFSR's bundled ones included. Raises `ModelFileError` when there is none."""
    if str(model) in {path.stem for path in BUNDLED_FOLDER.glob("*.safetensors")}:
        return find_idfsr_file(model)
    return find_model_file(model, host)


def load_model(
    model: str | Path | None = None,
    *,
    dtype: str = "auto",
    host: Host | None = None,
    **others: Any,  # noqa: ANN401 - as of the one-step models
) -> HeadsUpModel:
    """Load a model, as a handle that knows nobody: a one-step restorer, or an IDFSR model beside headsup-tiny.

    Arguments and errors are those of `models.loading.load_one_step`. `model` may also be a bundled IDFSR model
    ("idfsr-tiny") or the file of one: headsup-tiny then restores the picture, and the faces of people whose photos the
    handle knows, where their eyes lie less than `SMALL_EYES` px apart, are painted by IDFSR.
    """
    if others.get("adapter") is not None or not is_idfsr(model, host):
        return headsup_model.load_model(model, dtype=dtype, host=host, **others)
    assert model is not None  # noqa: S101 - narrows the type: None is no IDFSR model
    painter = IDFSRPainter(load_idfsr(find_any_model(model, host)))
    return replace(headsup_model.load_model(None, dtype=dtype, host=host, **others), painter=painter)


def faces_of_aligned(height: int, width: int, pictures: int, person: Identity | None) -> Faces:
    """The faces of pictures that are aligned faces themselves (FFHQ's template), and whose they are.

    Raises:
        InputError: the pictures are not square.
    """
    if height != width:
        raise InputError(f"aligned faces are square, this picture is {width}x{height} px: cut it, or find its faces")
    face = aligned_face(height)
    face = face if person is None else replace(face, identity=person.name)
    return Faces(((face,),) * pictures, height, width)
