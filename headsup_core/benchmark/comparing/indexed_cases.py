"""Pictures of an index of faces to measure on: who is who comes from the index, not from file names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from ...errors import InputError
from ...image_files import read_picture
from ...training.data.face_index import FaceIndex
from ...training.data.index_table import open_index
from .cases import PHOTO_SIDE, DegradedPictures, fit, spread


@dataclass(frozen=True)
class IndexedCases(DegradedPictures):
    """The pictures of the index `place`, a file that `dataset build` wrote.

    The person of a picture is that of its largest face. Its reference is the most similar photo of theirs, as the paper
    has it (HeadsUp 4.1: at most one for each portrait).
    """

    def files(self) -> list[Path]:
        """The pictures, evenly spread when there is a limit.

        Raises:
            InputError: no index, nothing held out, or, with `pairs`, nobody with two photos.
        """
        chosen: dict[str, list[Path]] = {}
        for path, person in self._people.items():
            if not self.pairs or path in self._references:
                chosen.setdefault(person, []).append(path)
        names = spread(sorted(chosen, key=_by_number), self.people)
        found = [path for name in names for path in (chosen[name][:1] if self.one_each else chosen[name])]
        if not found:
            what = "picture with another photo of its person" if self.pairs else "picture"
            raise InputError(f"{self.place} has no {what} to measure (hold out {self.hold_out})")
        return spread(found, self.limit)

    def person_of(self, path: Path) -> str:
        """Who is in a picture: a number of the index."""
        return self._everybody.get(path, "nobody")

    def reference_of(self, path: Path) -> Path | None:
        """The most similar photo of the same person; None without `pairs`."""
        return self._references.get(path) if self.pairs else None

    def name_of(self, path: Path) -> str:
        """With its folder: nested ones may hold the same name twice."""
        return f"{path.parent.name}-{path.stem}"

    def photo(self, path: Path) -> torch.Tensor:
        """The reference photo `[1,3,H,W]`. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, PHOTO_SIDE, 1)

    @cached_property
    def _whole(self) -> FaceIndex:
        return open_index(self.place)

    @cached_property
    def _main(self) -> list[int | None]:
        """The largest face of each picture; None where there is none."""
        return [
            max(range(len(one.faces)), key=lambda face, faces=one.faces: faces[face].eye_distance, default=None)
            for one in self._whole.pictures
        ]

    @cached_property
    def _everybody(self) -> dict[Path, str]:
        """Picture -> its person, of all that show somebody."""
        return {
            one.file: str(people[face])
            for one, face, people in zip(self._whole.pictures, self._main, self._whole.people(), strict=True)
            if face is not None
        }

    @cached_property
    def _people(self) -> dict[Path, str]:
        """Picture -> its person, of those that are measured: nobody who is seen in training."""
        if not self.hold_out:
            return self._everybody
        trained = {one.file for one in self._whole.without_every(self.hold_out).pictures}
        seen = {
            str(person)
            for one, people in zip(self._whole.pictures, self._whole.people(), strict=True)
            for person in people
            if one.file in trained
        }
        return {path: person for path, person in self._everybody.items() if path not in trained and person not in seen}

    @cached_property
    def _references(self) -> dict[Path, Path]:
        """Picture -> the most similar photo of its main face's person, whether that is measured or not."""
        best: dict[Path, tuple[float, Path]] = {}
        pictures = self._whole.pictures
        for a, face, b, other, alike in self._whole.pairs:
            for (one, shown), (photo, _) in (((a, face), (b, other)), ((b, other), (a, face))):
                if self._main[one] == shown:
                    path, found = pictures[one].file, (alike, pictures[photo].file)
                    best[path] = max(best.get(path, found), found)
        return {path: photo for path, (_alike, photo) in best.items()}


def _by_number(name: str) -> int:
    return int(name)
