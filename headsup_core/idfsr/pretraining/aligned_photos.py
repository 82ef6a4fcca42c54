"""Aligned, embedded portraits: prepared once for a run, kept in its folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...errors import InputError
from ...faces.alignment import align_matrix, crop, transform_points
from ...faces.analyzer import FaceAnalyzer, Pixels, to_bytes
from ...faces.face import Face
from ...faces.faces import Faces
from ...models.file_formats.weights_files import read_weights, write_safetensors
from ...training.data.landmark_annotations import FindLandmarks
from ...training.data.photos import list_photos
from ...training.data.pixels import as_image
from ...training.data.portraits import References

MARGIN = 0.15
"""What is kept about an aligned face, as a share of its side, so that it can be shifted and turned."""


@dataclass(frozen=True)
class FaceSource:
    """One folder of portraits with one face each, or one index of faces (`dataset build`).

    Attributes:
        ratio: share of the samples drawn from it.
        longest_side: larger pictures are reduced to this first.
        hold_out: leave out every n-th person (sorted by the file name up to the first `_`) for measuring; 0: none.
        references: another photo of the person where there is one, or an altered copy of the photo.
    """

    folder: str
    ratio: float
    longest_side: int = 512
    hold_out: int = 0
    references: References = "augmented_copy"


@dataclass(frozen=True, eq=False)
class AlignedPhoto:
    """One photo of one person.

    Attributes:
        wide: the face aligned to the FFHQ template with `MARGIN` about it, `[W,W,3]` of 8-bit RGB.
        landmarks: `[5,2]` in the pixels of `wide`.
        embedding: unit vector `[D]`.
    """

    person: str
    wide: Pixels
    landmarks: torch.Tensor
    embedding: torch.Tensor

    @property
    def aligned(self) -> Pixels:
        """The aligned face alone, `[S,S,3]`."""
        edge = margin_of(len(self.wide))
        return self.wide[edge:-edge, edge:-edge]


def margin_of(width: int) -> int:
    """Pixels about the face in an `AlignedPhoto.wide` of `width` px."""
    return round(width * MARGIN / (1 + 2 * MARGIN))


def prepare_photos(
    sources: Sequence[FaceSource], side: int, analyzer: FaceAnalyzer, teacher: FindLandmarks | None, path: Path
) -> list[list[AlignedPhoto]]:
    """The photos of each source, from `path` where it holds just these, else made anew and written there.

    Args:
        side: of the aligned faces in pixels.
        analyzer: whose recogniser embeds the photos.
        teacher: finds the landmarks of photos that nobody annotated; without a face they are left out.

    Raises:
        InputError: a folder without pictures or without faces, or photos that need a teacher.
    """
    key = json.dumps([[asdict(source) for source in sources], side, analyzer.embedder_id])
    if path.exists():
        file = read_weights(path)
        if file.metadata.get("key") == key:
            return _unpack(file.content, len(sources))
    log = logging.getLogger(__name__)
    prepared = [_prepare(source, side, analyzer, teacher) for source in sources]
    for source, photos in zip(sources, prepared, strict=True):
        if not photos:
            raise InputError(f"{source.folder} holds no picture with a face that can be used")
        log.info("%s: %d photos of %d people", source.folder, len(photos), len({photo.person for photo in photos}))
    write_safetensors(path, _packed(prepared), {"key": key})
    return prepared


def _prepare(
    source: FaceSource, side: int, analyzer: FaceAnalyzer, teacher: FindLandmarks | None
) -> list[AlignedPhoto]:
    listed, _ = list_photos(Path(source.folder), source.hold_out)
    photos: list[AlignedPhoto] = []
    for one in tqdm(listed, desc=Path(source.folder).name, disable=None, leave=False):
        picture = one.read(source.longest_side)
        image = as_image(np.asarray(picture))
        for person, landmarks in zip(one.people, one.faces(picture, teacher), strict=False):  # nobody may be found
            photos.append(align_photo(person, image, landmarks, side, analyzer))
    return photos


def align_photo(
    person: str, picture: torch.Tensor, landmarks: torch.Tensor, side: int, analyzer: FaceAnalyzer
) -> AlignedPhoto:
    """The face with `landmarks` `[5,2]` of `picture` `[1,3,H,W]` in 0..1; aligned it has `side` px."""
    height, width = picture.shape[-2:]
    x, y = landmarks.unbind(1)
    face = Face((float(x.min()), float(y.min()), float(x.max()), float(y.max())), landmarks, 1.0)
    embedding = analyzer.embed(picture, Faces(((face,),), height, width))[0][0].embedding
    assert embedding is not None  # noqa: S101 - narrows the type: the face comes out of embed()
    edge = round(side * MARGIN)
    matrix = align_matrix(landmarks, side) + torch.tensor([[0.0, 0.0, edge], [0.0, 0.0, edge]])
    wide = to_bytes(crop(picture, matrix, side + 2 * edge))
    return AlignedPhoto(person, wide, transform_points(matrix, landmarks), embedding)


def _packed(prepared: Sequence[Sequence[AlignedPhoto]]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for index, photos in enumerate(prepared):
        tensors[f"{index}.wide"] = torch.from_numpy(np.stack([photo.wide for photo in photos]))
        tensors[f"{index}.landmarks"] = torch.stack([photo.landmarks for photo in photos])
        tensors[f"{index}.embedding"] = torch.stack([photo.embedding for photo in photos])
        names = "\n".join(photo.person for photo in photos).encode()
        tensors[f"{index}.people"] = torch.from_numpy(np.frombuffer(names, dtype=np.uint8).copy())
    return tensors


def _unpack(content: Any, sources: int) -> list[list[AlignedPhoto]]:  # noqa: ANN401 - of a file
    prepared: list[list[AlignedPhoto]] = []
    for index in range(sources):
        people = content[f"{index}.people"].numpy().tobytes().decode().split("\n")
        parts = zip(
            people,
            content[f"{index}.wide"].numpy(),
            content[f"{index}.landmarks"],
            content[f"{index}.embedding"],
            strict=True,
        )
        prepared.append([AlignedPhoto(*part) for part in parts])
    return prepared
