"""Aligned, embedded portraits: prepared once for a run, kept in its folder, read from there when they are drawn."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ...option_fields import check_fields, within
from ...training.data.landmark_annotations import FindLandmarks
from ...training.data.photos import list_photos
from ...training.data.pixels import as_image
from ...training.data.portraits import References
from ...whole_files import whole_file

FORMAT = 2
"""Changes with what the prepared files hold."""
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
    longest_side: int = within(512, 1)
    hold_out: int = within(0, 0)
    references: References = "augmented_copy"

    def __post_init__(self) -> None:
        check_fields(self, f"source {self.folder}")


@dataclass(frozen=True, eq=False)
class AlignedPhoto:
    """One photo of one person.

    Attributes:
        wide: the face aligned to the FFHQ template with `MARGIN` about it, `[W,W,3]` of 8-bit RGB; of a prepared photo
            a view of its file, which takes no memory.
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

    Their pixels lie beside it, one file a source, and never all in memory: 1.3 MB a photo of 512 px.

    Args:
        side: of the aligned faces in pixels.
        analyzer: whose recogniser embeds the photos.
        teacher: finds the landmarks of photos that nobody annotated; without a face they are left out.

    Raises:
        InputError: a folder without pictures or without faces, or photos that need a teacher.
    """
    key = json.dumps([FORMAT, [asdict(source) for source in sources], side, analyzer.embedder_id])
    if path.exists():
        file = read_weights(path)
        if file.metadata.get("key") == key:
            return [_read(file.content, path, index, side) for index in range(len(sources))]
    log = logging.getLogger(__name__)
    facts: dict[str, torch.Tensor] = {}
    for index, source in enumerate(sources):
        made = _aligned(source, side, analyzer, teacher)
        found = _write(made, _pixels_file(path, index))
        if not found["people"].numel():
            raise InputError(f"{source.folder} holds no picture with a face that can be used")
        log.info("%s: %d photos", source.folder, len(found["embedding"]))
        facts |= {f"{index}.{name}": values for name, values in found.items()}
    write_safetensors(path, facts, {"key": key})
    return [_read(facts, path, index, side) for index in range(len(sources))]


def _aligned(
    source: FaceSource, side: int, analyzer: FaceAnalyzer, teacher: FindLandmarks | None
) -> Iterator[AlignedPhoto]:
    listed, _ = list_photos(Path(source.folder), source.hold_out)
    for one in tqdm(listed, desc=Path(source.folder).name, disable=None, leave=False):
        picture = one.read(source.longest_side)
        image = as_image(np.asarray(picture))
        for person, landmarks in zip(one.people, one.faces(picture, teacher), strict=False):  # nobody may be found
            yield align_photo(person, image, landmarks, side, analyzer)


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


def _pixels_file(path: Path, index: int) -> Path:
    return path.with_suffix(f".{index}.pixels")


def _write(photos: Iterable[AlignedPhoto], path: Path) -> dict[str, torch.Tensor]:
    """Write the pixels of photos one after the other, and return all else of them."""
    people: list[str] = []
    landmarks: list[torch.Tensor] = []
    embeddings: list[torch.Tensor] = []
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for photo in photos:
            file.write(np.ascontiguousarray(photo.wide).tobytes())
            people.append(photo.person)
            landmarks.append(photo.landmarks)
            embeddings.append(photo.embedding)
    names = np.frombuffer("\n".join(people).encode(), dtype=np.uint8).copy()
    return {
        "people": torch.from_numpy(names),
        "landmarks": torch.stack(landmarks) if landmarks else torch.empty(0, 5, 2),
        "embedding": torch.stack(embeddings) if embeddings else torch.empty(0, 0),
    }


def _read(content: Mapping[str, Any], path: Path, index: int, side: int) -> list[AlignedPhoto]:
    """The photos of one source. Raises `InputError` when the file of their pixels is not as long as it was."""
    people = content[f"{index}.people"].numpy().tobytes().decode().split("\n")
    landmarks, embeddings = content[f"{index}.landmarks"], content[f"{index}.embedding"]
    width = side + 2 * round(side * MARGIN)
    file, size = _pixels_file(path, index), len(people) * width * width * 3
    if not file.is_file() or file.stat().st_size != size:
        raise InputError(f"{file} is not as it was written ({size} bytes): delete {path}, and the photos are made anew")
    pixels = np.memmap(file, dtype=np.uint8, mode="r", shape=(len(people), width, width, 3))
    return [AlignedPhoto(*each) for each in zip(people, pixels, landmarks, embeddings, strict=True)]
