"""Pictures to measure on: clean ones with a named, seeded degradation, or folders of pairs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from ...errors import InputError
from ...image_files import read_picture
from ...imaging.resizing import resize
from ...training.data.degradation import degrade, find_degradation
from ...training.data.people_by_name import list_pictures, person_of, split_by_person


@dataclass(frozen=True, eq=False)
class Case:
    """A bad picture `[1,3,h,w]` and what it should become `[1,3,H,W]`.

    Attributes:
        person: who is in it; pictures of one person are no independent cases.
    """

    name: str
    bad: torch.Tensor
    truth: torch.Tensor
    person: str


@dataclass(frozen=True)
class CleanFolder:
    """Clean pictures, reduced so that the longer side is `size`, then degraded.

    Attributes:
        hold_out: only every n-th person, those that training leaves out with the same number; 0: everybody.
        pairs: only people of whom there are several pictures; each is restored with another one as its reference.
    """

    folder: Path
    degradation: str
    size: int = 512
    hold_out: int = 0
    limit: int | None = None
    seed: int = 0
    pairs: bool = False

    def __post_init__(self) -> None:
        smallest = 16 * 4  # below that no face region is left to measure
        if self.size < smallest:
            raise InputError(f"size {self.size}: must be at least {smallest} px")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit {self.limit}: must be at least 1")
        try:
            find_degradation(self.degradation)
        except ValueError as error:
            raise InputError(str(error)) from error

    @property
    def scale(self) -> int:
        """By which the pictures are reduced."""
        return find_degradation(self.degradation).scale

    def files(self) -> list[Path]:
        """The pictures; of several people evenly spread when there is a limit, of whole people with `pairs`.

        Raises:
            InputError: no folder, nothing in it, or, with `pairs`, nobody with two pictures.
        """
        files = list_pictures(self.folder)
        if self.hold_out:
            files = split_by_person(files, self.hold_out)[1]
        if self.pairs:
            return self._pairs(files)
        return _spread(files, self.limit)

    def _pairs(self, files: Sequence[Path]) -> list[Path]:
        people: dict[str, list[Path]] = {}
        for path in files:
            people.setdefault(person_of(path), []).append(path)
        several = [pictures for pictures in people.values() if len(pictures) > 1]
        if not several:
            raise InputError(
                f"{self.folder}: nobody has two pictures, whose names must be alike up to the first underscore"
            )
        mean = sum(map(len, several)) / len(several)
        wanted = None if self.limit is None else max(1, round(self.limit / mean))
        return [path for pictures in _spread(several, wanted) for path in pictures]

    def reference_of(self, path: Path) -> Path | None:
        """Another picture of the same person, the next in turn; None without `pairs`."""
        if not self.pairs:
            return None
        own = [other for other in self.files() if person_of(other) == person_of(path)]
        return own[(own.index(path) + 1) % len(own)]

    def stranger_of(self, path: Path) -> Path | None:
        """A picture of the next person, to show what a wrong reference does; None without `pairs` or anybody else."""
        if not self.pairs:
            return None
        files = self.files()
        at = files.index(path)
        return next((other for other in files[at:] + files[:at] if person_of(other) != person_of(path)), None)

    def clean(self, path: Path) -> torch.Tensor:
        """The clean picture `[1,3,H,W]` of one of `files()`. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, self.size, self.scale)

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when it cannot be read."""
        truth = self.clean(path)
        # the seed follows the name, so that a picture is degraded alike in every selection
        seed = self.seed + zlib.crc32(path.name.encode())
        return Case(path.stem, degrade(truth, self.degradation, seed), truth, person_of(path))


@dataclass(frozen=True)
class PairFolders:
    """Files of the same name in two folders."""

    bad: Path
    truth: Path

    def files(self) -> list[Path]:
        return list_pictures(self.bad)

    def clean(self, path: Path) -> torch.Tensor:
        """What the picture of one of `files()` should become. Raises `InputError` when that cannot be read."""
        partner = next((truth for truth in list_pictures(self.truth) if truth.stem == path.stem), None)
        if partner is None:
            raise InputError(f"{path.name} has no partner of that name in {self.truth}")
        return read_picture(partner).rgb

    def reference_of(self, path: Path) -> Path | None:
        """None: pairs have no references."""

    def stranger_of(self, path: Path) -> Path | None:
        """None."""

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when a picture or its partner cannot be read."""
        return Case(path.stem, read_picture(path).rgb, self.clean(path), person_of(path))


T = TypeVar("T")


def _spread(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of them, evenly spread."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def fit(image: torch.Tensor, size: int, multiple: int) -> torch.Tensor:
    """Reduce so that the longer side is `size` (never enlarge), and cut to a multiple."""
    height, width = image.shape[-2:]
    factor = min(1.0, size / max(height, width))
    reduced = resize(image, max(multiple, round(height * factor)), max(multiple, round(width * factor)))
    height, width = (side // multiple * multiple for side in reduced.shape[-2:])
    return reduced[..., :height, :width]
