"""Results that do not change from run to run, kept as files: a peer need not restore a picture twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...downloads import sha256_of
from ...identity.identity import Identity
from ...image_files import read_picture, write_picture
from .contestants import Reference, System


@dataclass(frozen=True)
class Remembered:
    """A system that is given nobody's photo, whose results lie in a folder.

    A result is stored in 8 bits, and found again by the bytes of the small picture, the size that was asked for, the
    system's name and its weights. Its seconds are those of reading the file when there is one.
    """

    system: System
    folder: Path
    tells: Reference = ""

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def file(self) -> Path | None:
        """The file of the system's weights."""
        return getattr(self.system, "file", None)

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        path = self.folder / f"{self._key(image, height, width)}.png"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_picture(path, self.system.upscale(image, height, width, people).clamp(0, 1), None)
        return read_picture(path).rgb

    def _key(self, image: torch.Tensor, height: int, width: int) -> str:
        weights = "" if self.file is None else sha256_of(self.file)
        told = f"{self.name} {weights} {height}x{width} {tuple(image.shape)} "
        return hashlib.sha256(told.encode() + image.contiguous().numpy().tobytes()).hexdigest()[:32]
