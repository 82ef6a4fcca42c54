"""The clean pictures of a source, and what is known of the faces in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageOps

from .face_index import SUFFIX, read_index
from .people_by_name import list_pictures, person_of, split_by_person
from .portraits import Bytes, FindLandmarks, align_portrait, find_landmarks

Place = tuple[int, int]
"""(index of a picture, index of a face in it)."""


class Photos:
    """Pictures in memory, or read when they are drawn.

    Args:
        source: a folder of pictures, or an index that `dataset build` wrote.
        longest_side: larger pictures are reduced to this.
        hold_out: leave out every n-th person with all photos; 0: none.
        with_faces: whether faces are wanted. In a folder people are told apart by file names and faces found by
            annotation or `teacher`; an index knows both.
        in_memory: read everything once, now.

    Raises:
        InputError: no pictures, a damaged index, or a face that nobody can find.
    """

    def __init__(
        self,
        source: Path,
        *,
        longest_side: int,
        hold_out: int = 0,
        with_faces: bool = False,
        in_memory: bool = True,
        teacher: FindLandmarks | None = None,
    ) -> None:
        self._longest_side = longest_side
        self._pictures: list[Image.Image] | None = None
        self._aligned: dict[Place, Bytes] = {}
        found = read_index(source).without_every(hold_out) if source.suffix == SUFFIX else None
        if found is not None:
            self._files = [picture.file for picture in found.pictures]
        else:
            self._files, _ = split_by_person(list_pictures(source), hold_out)
        if in_memory:
            self._pictures = [load_reduced(path, longest_side) for path in self._files]
        self._faces: list[tuple[torch.Tensor, ...]] = [()] * len(self._files)
        self._others: Mapping[Place, Sequence[Place]] = {}
        if not with_faces:
            return
        if found is not None:
            self._others = found.others()
            for index, record in enumerate(found.pictures):
                factor = min(1.0, longest_side / max(record.width, record.height))
                self._faces[index] = tuple((face.landmarks + 0.5) * factor - 0.5 for face in record.faces)
        else:
            self._others = self._find_faces(teacher)
        if in_memory:
            places = [(index, face) for index, faces in enumerate(self._faces) for face in range(len(faces))]
            self._aligned = {place: self._align(place) for place in places}

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, index: int) -> Image.Image:
        """RGB, upright, at most `longest_side` px."""
        return load_reduced(self._files[index], self._longest_side) if self._pictures is None else self._pictures[index]

    def faces(self, index: int) -> tuple[torch.Tensor, ...]:
        """Landmarks `[5,2]` of each known face, in pixels of `picture`."""
        return self._faces[index]

    def others(self, place: Place) -> Sequence[Place]:
        """The same person in other photos."""
        return self._others.get(place, ())

    def aligned(self, place: Place) -> Bytes:
        """The face, see `portraits.align_portrait`."""
        found = self._aligned.get(place)
        return self._align(place) if found is None else found

    def _align(self, place: Place) -> Bytes:
        return align_portrait(self.picture(place[0]), self._faces[place[0]][place[1]])

    def _find_faces(self, teacher: FindLandmarks | None) -> dict[Place, list[Place]]:
        """One face a picture; all photos of one person by the files' names."""
        photos: dict[str, list[Place]] = {}
        for index, path in enumerate(self._files):
            landmarks = find_landmarks(path, self.picture(index), teacher)
            if landmarks is not None:
                self._faces[index] = (landmarks,)
                photos.setdefault(person_of(path), []).append((index, 0))
        return {place: [other for other in mine if other != place] for mine in photos.values() for place in mine}


def load_reduced(path: Path, longest_side: int) -> Image.Image:
    """A picture in RGB, upright, reduced to `longest_side` px where it is larger."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return picture
