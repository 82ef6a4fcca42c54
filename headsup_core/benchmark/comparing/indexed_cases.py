"""Pictures of an index of faces to measure on: who is who comes from the index, not from file names."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from ...errors import InputError
from ...image_files import read_picture
from ...training.data.degradation import degrade, find_degradation
from ...training.data.face_index import FaceIndex, read_index
from .cases import PHOTO_SIDE, Case, fit, spread


@dataclass(frozen=True)
class IndexedCases:
    """The pictures of an index as clean ones, reduced so that the longer side is `size`, then degraded.

    The person of a picture is that of its largest face. Its reference is the most similar photo of theirs, as the paper
    has it (HeadsUp 4.1: at most one for each portrait).

    Attributes:
        index: the file that `dataset build` wrote.
        hold_out: only every n-th person of the index, those that training leaves out with the same number; 0: all.
        limit, people, one_each, seed: as of `CleanFolder`.
        pairs: only pictures that have a reference.
    """

    index: Path
    degradation: str
    size: int = 512
    hold_out: int = 0
    limit: int | None = None
    seed: int = 0
    pairs: bool = False
    people: int | None = None
    one_each: bool = False

    def __post_init__(self) -> None:
        if self.size < 64:
            raise InputError(f"size {self.size}: must be at least 64 px")
        try:
            find_degradation(self.degradation)
        except ValueError as error:
            raise InputError(str(error)) from error

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
            raise InputError(f"{self.index} has no {what} to measure (hold out {self.hold_out})")
        return spread(found, self.limit)

    def person_of(self, path: Path) -> str:
        """Who is in a picture: a number of the index."""
        return self._everybody.get(path, "nobody")

    def reference_of(self, path: Path) -> Path | None:
        """The most similar photo of the same person; None without `pairs`."""
        return self._references.get(path) if self.pairs else None

    def stranger_of(self, path: Path) -> Path | None:
        """A picture of the next person; None without `pairs` or anybody else."""
        if not self.pairs:
            return None
        files = self.files()
        at = files.index(path)
        return next((one for one in files[at:] + files[:at] if self._people[one] != self._people[path]), None)

    def clean(self, path: Path) -> torch.Tensor:
        """The clean picture `[1,3,H,W]`. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, self.size, find_degradation(self.degradation).scale)

    def photo(self, path: Path) -> torch.Tensor:
        """The reference photo `[1,3,H,W]`. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, PHOTO_SIDE, 1)

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when it cannot be read."""
        truth = self.clean(path)
        seed = self.seed + zlib.crc32(path.name.encode())
        return Case(_name(path), degrade(truth, self.degradation, seed), truth, self._people[path])

    @cached_property
    def _whole(self) -> FaceIndex:
        return read_index(self.index)

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
        return {
            path: person for path, person in self._everybody.items() if path not in trained and person not in seen
        }

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


def _name(path: Path) -> str:
    """What a table calls a picture; nested folders may hold the same name twice."""
    return f"{path.parent.name}-{path.stem}"
