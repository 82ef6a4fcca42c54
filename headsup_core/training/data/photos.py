"""The one reader of pictures to train on: a folder, or an index of faces, and who is where in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ...faces.analyzer import Pixels
from .face_index import IndexedPicture
from .index_table import INDEX_SUFFIXES, open_index
from .landmark_annotations import FindEveryone, FindLandmarks, find_landmarks
from .people_by_name import list_pictures, person_of, split_by_person
from .pixels import as_image
from .portraits import REFERENCE_EYES, align_portrait

FINER = 1.3
"""How much finer than it is kept a reference's face is read."""
Place = tuple[int, int]
"""(index of a picture, index of a face in it)."""


@dataclass(frozen=True, eq=False)
class ListedPhoto:
    """A picture that nobody has read yet.

    Attributes:
        people: who each face belongs to: in a folder one person, by the file's name; in an index everybody it knows.
        indexed: what the index says of it, None in a folder.
    """

    file: Path
    people: tuple[str, ...]
    indexed: IndexedPicture | None = None

    def read(self, longest_side: int) -> Image.Image:
        """RGB, upright, reduced to `longest_side` px where it is larger."""
        with Image.open(self.file) as opened:
            opened.draft("RGB", (longest_side, longest_side))  # a JPEG is decoded at no more than twice that
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        return picture

    def longest(self, longest_side: int) -> int:
        """The longer side in pixels of what `read` gives."""
        if self.indexed is not None:
            return min(longest_side, max(self.indexed.width, self.indexed.height))
        with Image.open(self.file) as opened:
            return min(longest_side, max(opened.size))

    def faces(self, picture: Image.Image, teacher: FindLandmarks | None) -> tuple[torch.Tensor, ...]:
        """Landmarks `[5,2]` of each of the people, in pixels of `picture`, as `read` gave it; empty when the teacher
        finds nobody.

        Raises:
            InputError: a folder's picture without an annotation, and no teacher.
        """
        if self.indexed is not None:
            return self.indexed_faces(max(picture.size))
        landmarks = find_landmarks(self.file, picture, teacher)
        return () if landmarks is None else (landmarks,)

    def indexed_faces(self, longest_side: int) -> tuple[torch.Tensor, ...]:
        """The landmarks that the index knows, in pixels of the picture as it is read at `longest_side`."""
        if self.indexed is None:
            return ()
        factor = min(1.0, longest_side / max(self.indexed.width, self.indexed.height))
        return tuple((face.landmarks + 0.5) * factor - 0.5 for face in self.indexed.faces)


def list_photos(source: Path, hold_out: int = 0) -> tuple[list[ListedPhoto], Mapping[Place, Sequence[Place]]]:
    """The pictures of a source, and where the same person is seen elsewhere.

    Args:
        source: a folder, or an index that `dataset build` wrote.
        hold_out: leave out every n-th person with all photos; 0: none.

    Raises:
        InputError: no pictures, or a damaged index.
    """
    if source.suffix in INDEX_SUFFIXES:
        index = open_index(source).without_every(hold_out)
        people = [tuple(str(number) for number in here) for here in index.people()]
        photos = [ListedPhoto(one.file, who, one) for one, who in zip(index.pictures, people, strict=True)]
        return photos, index.others()
    files, _ = split_by_person(list_pictures(source), hold_out)
    photos = [ListedPhoto(file, (person_of(file),)) for file in files]
    mine: dict[str, list[Place]] = {}
    for index_, photo in enumerate(photos):
        mine.setdefault(photo.people[0], []).append((index_, 0))
    others = {place: [other for other in places if other != place] for places in mine.values() for place in places}
    return photos, others


class Photos:
    """The pictures of a source in memory, or read when they are drawn.

    Args:
        longest_side: larger pictures are reduced to this.
        hold_out: as for `list_photos`.
        with_faces: whether faces are wanted, for references; those of an index are known in any case.
        in_memory: read everything once, now.
        teacher: finds the faces in a folder's pictures that nobody annotated.
        everyone: finds the faces in a folder's pictures without references, when they are asked for; None: nobody.

    Raises:
        InputError: as for `list_photos`, or a face that nobody can find.
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
        everyone: FindEveryone | None = None,
    ) -> None:
        self._longest_side = longest_side
        self._everyone = None if with_faces else everyone
        self._photos, others = list_photos(source, hold_out)
        self._pictures = [photo.read(longest_side) for photo in self._photos] if in_memory else None
        self._aligned: dict[Place, Pixels] = {}
        self._faces = [photo.indexed_faces(longest_side) for photo in self._photos]
        self._looked: set[int] = {index for index, photo in enumerate(self._photos) if photo.indexed is not None}
        if with_faces:
            self._faces = [self._find_faces(index, teacher) for index in range(len(self._photos))]
        self._others = {
            place: [other for other in found if self._is_known(other)]
            for place, found in others.items()
            if self._is_known(place)
        }
        if in_memory and with_faces:
            places = [(index, face) for index, faces in enumerate(self._faces) for face in range(len(faces))]
            self._aligned = {place: self._align(place) for place in places}

    def __len__(self) -> int:
        return len(self._photos)

    def picture(self, index: int) -> Image.Image:
        """RGB, upright, at most `longest_side` px."""
        return self._photos[index].read(self._longest_side) if self._pictures is None else self._pictures[index]

    def faces(self, index: int) -> tuple[torch.Tensor, ...]:
        """Landmarks `[5,2]` of each known face, in pixels of `picture`."""
        if self._everyone is not None and index not in self._looked:
            self._faces[index] = tuple(self._everyone(as_image(np.asarray(self.picture(index)))))
            self._looked.add(index)
        return self._faces[index]

    def file(self, index: int) -> Path:
        """The picture's file."""
        return self._photos[index].file

    def others(self, place: Place) -> Sequence[Place]:
        """The same person in other photos."""
        return self._others.get(place, ())

    def aligned(self, place: Place) -> Pixels:
        """The face, see `portraits.align_portrait`."""
        found = self._aligned.get(place)
        return self._align(place) if found is None else found

    def _align(self, place: Place) -> Pixels:
        index, landmarks = place[0], self._faces[place[0]][place[1]]
        if self._pictures is not None:
            return align_portrait(self._pictures[index], landmarks)
        # a large photo is read no larger than its face is kept
        photo, eyes = self._photos[index], float((landmarks[1] - landmarks[0]).norm())
        whole = photo.longest(self._longest_side)
        side = min(whole, max(1, round(whole * FINER * REFERENCE_EYES / max(eyes, 1.0))))
        return align_portrait(photo.read(side), (landmarks + 0.5) * (side / whole) - 0.5)

    def _find_faces(self, index: int, teacher: FindLandmarks | None) -> tuple[torch.Tensor, ...]:
        photo = self._photos[index]
        if photo.indexed is not None:  # without reading the picture
            return photo.indexed_faces(self._longest_side)
        return photo.faces(self.picture(index), teacher)

    def _is_known(self, place: Place) -> bool:
        return place[1] < len(self._faces[place[0]])
