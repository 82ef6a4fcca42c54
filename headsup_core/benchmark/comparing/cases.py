"""Pictures to measure on: clean ones with a named, seeded degradation, or folders of pairs."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from ...errors import InputError
from ...image_files import read_picture
from ...imaging.resizing import resize
from ...training.data.degradation import degrade, find_degradation
from ...training.data.people_by_name import list_pictures, person_of, split_by_person

PHOTO_SIDE = 1024
"""Longer side in pixels of a reference photo; larger ones are reduced."""


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


class Cases(Protocol):
    """Pictures to measure on: `CleanFolder`, `PairFolders`, `indexed_cases.IndexedCases`."""

    def files(self) -> list[Path]:
        """The pictures. Raises `InputError` when there are none."""
        ...

    def person_of(self, path: Path) -> str:
        """Who is in a picture, of `files()` or a photo of them."""
        ...

    def reference_of(self, path: Path) -> Path | None:
        """Another photo of the same person, None without one."""
        ...

    def stranger_of(self, path: Path) -> Path | None:
        """A photo of somebody else, None without one."""
        ...

    def clean(self, path: Path) -> torch.Tensor:
        """What the picture should become, `[1,3,H,W]`. Raises `InputError` when it cannot be read."""
        ...

    def photo(self, path: Path) -> torch.Tensor:
        """A reference photo `[1,3,H,W]`. Raises `InputError` when it cannot be read."""
        ...

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when it cannot be read."""
        ...


@dataclass(frozen=True)
class DegradedPictures(ABC):
    """Clean pictures, reduced so that the longer side is `size`, then degraded.

    Attributes:
        place: where they are found.
        hold_out: only every n-th person, those that training leaves out with the same number; 0: everybody.
        limit: at most so many pictures, evenly spread; None: all.
        people: at most so many people, evenly spread; None: all.
        pairs: only pictures with another photo of their person as the reference.
        one_each: of each person only the first picture.

    Raises:
        InputError: a number that cannot be, or a degradation that is unknown.
    """

    place: Path
    degradation: str
    size: int = 512
    hold_out: int = 0
    limit: int | None = None
    seed: int = 0
    pairs: bool = False
    people: int | None = None
    one_each: bool = False

    def __post_init__(self) -> None:
        smallest = 16 * 4  # below that no face region is left to measure
        if self.size < smallest:
            raise InputError(f"size {self.size}: must be at least {smallest} px")
        for name, value in (("limit", self.limit), ("people", self.people)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: must be at least 1")
        try:
            find_degradation(self.degradation)
        except ValueError as error:
            raise InputError(str(error)) from error

    @property
    def scale(self) -> int:
        """How many times smaller the bad pictures are."""
        return find_degradation(self.degradation).scale

    @abstractmethod
    def files(self) -> list[Path]:
        """The pictures. Raises `InputError` when there are none."""

    @abstractmethod
    def person_of(self, path: Path) -> str:
        """Who is in a picture."""

    @abstractmethod
    def name_of(self, path: Path) -> str:
        """What a table calls a picture."""

    def stranger_of(self, path: Path) -> Path | None:
        """A picture of the next person, to show what a wrong reference does; None without `pairs` or anybody else."""
        return next_person(self.files(), path, self.person_of) if self.pairs else None

    def clean(self, path: Path) -> torch.Tensor:
        """The clean picture `[1,3,H,W]` of one of `files()`. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, self.size, self.scale)

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when it cannot be read."""
        truth = self.clean(path)
        # the seed follows the name, so that a picture is degraded alike in every selection
        seed = self.seed + zlib.crc32(path.name.encode())
        return Case(self.name_of(path), degrade(truth, self.degradation, seed), truth, self.person_of(path))


@dataclass(frozen=True)
class CleanFolder(DegradedPictures):
    """The pictures of the folder `place`, which is read once; with `pairs`, of people of whom there are several."""

    def files(self) -> list[Path]:
        """The pictures; of several people evenly spread when there is a limit, of whole people with `pairs`.

        Raises:
            InputError: no folder, nothing in it, or, with `pairs`, nobody with two pictures.
        """
        people = self._people
        restored = [pictures[:1] if self.one_each else pictures for pictures in people.values()]
        if not self.pairs:
            return spread([path for pictures in restored for path in pictures], self.limit)
        mean = sum(map(len, restored)) / len(restored)
        wanted = None if self.limit is None else max(1, round(self.limit / mean))
        return [path for pictures in spread(restored, wanted) for path in pictures]

    @cached_property
    def _people(self) -> dict[str, list[Path]]:
        """All pictures of whoever is looked at."""
        files = self._pictures
        if self.hold_out:
            files = split_by_person(files, self.hold_out)[1]
        people: dict[str, list[Path]] = {}
        for path in files:
            people.setdefault(person_of(path), []).append(path)
        if self.pairs:
            people = {name: pictures for name, pictures in people.items() if len(pictures) > 1}
            if not people:
                raise InputError(
                    f"{self.place}: nobody has two pictures, whose names must be alike up to the first underscore"
                )
        return {name: people[name] for name in spread(list(people), self.people)}

    def reference_of(self, path: Path) -> Path | None:
        """Another picture of the same person, the next in turn; None without `pairs`."""
        if not self.pairs:
            return None
        own = self._people[person_of(path)]
        return own[(own.index(path) + 1) % len(own)]

    def person_of(self, path: Path) -> str:
        """Who is in a picture, by its name."""
        return person_of(path)

    def name_of(self, path: Path) -> str:
        return path.name if self._stems[path.stem] > 1 else path.stem

    @cached_property
    def _stems(self) -> Counter[str]:
        """How many pictures have each name without its suffix."""
        return Counter(path.stem for path in self._pictures)

    @cached_property
    def _pictures(self) -> list[Path]:
        return list_pictures(self.place)

    def photo(self, path: Path) -> torch.Tensor:
        """The reference photo `[1,3,H,W]` of that file. Raises `InputError` when it cannot be read."""
        return self.clean(path)


@dataclass(frozen=True)
class PairFolders:
    """Files of the same name in two folders.

    Attributes:
        photos: folder with a reference photo of the same name for each; None: pairs have no references.
    """

    bad: Path
    truth: Path
    photos: Path | None = None

    def files(self) -> list[Path]:
        return list_pictures(self.bad)

    def person_of(self, path: Path) -> str:
        """Who is in a picture, by its name."""
        return person_of(path)

    def clean(self, path: Path) -> torch.Tensor:
        """What the picture of one of `files()` should become. Raises `InputError` when that cannot be read."""
        return read_picture(_partner(path, self.truth)).rgb

    def reference_of(self, path: Path) -> Path | None:
        """The photo of that name; None without a folder of photos. Raises `InputError` when it is not there."""
        return None if self.photos is None else _partner(path, self.photos)

    def stranger_of(self, path: Path) -> Path | None:
        """The photo of the next person; None without a folder of photos or anybody else."""
        if self.photos is None:
            return None
        other = next_person(self.files(), path, person_of)
        return None if other is None else _partner(other, self.photos)

    def photo(self, path: Path) -> torch.Tensor:
        """The reference photo `[1,3,H,W]` of that file. Raises `InputError` when it cannot be read."""
        return fit(read_picture(path).rgb, PHOTO_SIDE, 1)

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when a picture or its partner cannot be read."""
        return Case(path.stem, read_picture(path).rgb, self.clean(path), person_of(path))


def _partner(path: Path, folder: Path) -> Path:
    partner = next((other for other in list_pictures(folder) if other.stem == path.stem), None)
    if partner is None:
        raise InputError(f"{path.name} has no partner of that name in {folder}")
    return partner


def next_person(files: list[Path], path: Path, person_of: Callable[[Path], str]) -> Path | None:
    """The next of `files` after `path`, in turn, that shows somebody else; None when nobody does."""
    at = files.index(path)
    return next((other for other in files[at:] + files[:at] if person_of(other) != person_of(path)), None)


T = TypeVar("T")


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of the items, evenly spread."""
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
