"""Pictures to measure on: clean ones with a named, seeded degradation, or folders of pairs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import InputError
from ..image_files import read_picture
from ..imaging.resizing import resize
from ..training.degradation import degrade, find_degradation
from ..training.people import list_pictures, split_by_person


@dataclass(frozen=True, eq=False)
class Case:
    """A bad picture `[1,3,h,w]` and what it should become `[1,3,H,W]`."""

    name: str
    bad: torch.Tensor
    truth: torch.Tensor


@dataclass(frozen=True)
class CleanFolder:
    """Clean pictures, reduced so that the longer side is `size`, then degraded.

    Attributes:
        hold_out: only every n-th person, those that training leaves out with the same number; 0: everybody.
    """

    folder: Path
    degradation: str
    size: int = 512
    hold_out: int = 0
    limit: int | None = None
    seed: int = 0

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

    def files(self) -> list[Path]:
        """The pictures; of several people evenly spread when there is a limit."""
        files = list_pictures(self.folder)
        if self.hold_out:
            files = split_by_person(files, self.hold_out)[1]
        if self.limit is None or self.limit >= len(files):
            return files
        return [files[index * len(files) // self.limit] for index in range(self.limit)]

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when it cannot be read."""
        truth = _fit(read_picture(path).rgb, self.size, find_degradation(self.degradation).scale)
        # the seed follows the name, so that a picture is degraded alike in every selection
        seed = self.seed + zlib.crc32(path.name.encode())
        return Case(path.stem, degrade(truth, self.degradation, seed), truth)


@dataclass(frozen=True)
class PairFolders:
    """Files of the same name in two folders."""

    bad: Path
    truth: Path

    def files(self) -> list[Path]:
        return list_pictures(self.bad)

    def load(self, path: Path) -> Case:
        """The case of one of `files()`. Raises `InputError` when a picture or its partner cannot be read."""
        partner = next((truth for truth in list_pictures(self.truth) if truth.stem == path.stem), None)
        if partner is None:
            raise InputError(f"{path.name} has no partner of that name in {self.truth}")
        return Case(path.stem, read_picture(path).rgb, read_picture(partner).rgb)


def _fit(image: torch.Tensor, size: int, multiple: int) -> torch.Tensor:
    """Reduce so that the longer side is `size` (never enlarge), and cut to a multiple."""
    height, width = image.shape[-2:]
    factor = min(1.0, size / max(height, width))
    reduced = resize(image, max(multiple, round(height * factor)), max(multiple, round(width * factor)))
    height, width = (side // multiple * multiple for side in reduced.shape[-2:])
    return reduced[..., :height, :width]
