"""`Faces`: what an analyzer found in a batch of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from .face import Face


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of each picture of a batch of B.

    Attributes:
        pictures: B tuples, each sorted by `in_order`.
        height, width: size in pixels of the pictures that they were found in.
        analyzer: id of the analyzer that found them, or that embedded them last (`FaceAnalyzer.analyzer_id`); "" when
            they were made by hand. `registry.analyzer_of` loads it.
    """

    pictures: tuple[tuple[Face, ...], ...]
    height: int
    width: int
    analyzer: str = ""

    def __len__(self) -> int:
        """B."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Face, ...]:
        return self.pictures[index]

    def __iter__(self) -> Iterator[tuple[Face, ...]]:
        return iter(self.pictures)

    @property
    def count(self) -> int:
        """Faces in all pictures."""
        return sum(len(faces) for faces in self.pictures)

    def scaled_to(self, height: int, width: int) -> Faces:
        """The same faces in the batch resized to `height` x `width`."""
        if (height, width) == (self.height, self.width):
            return self
        x, y = width / self.width, height / self.height
        scaled = tuple(tuple(face.scaled(x, y) for face in faces) for faces in self.pictures)
        return replace(self, pictures=scaled, height=height, width=width)

    def map(self, change: Callable[[Face], Face]) -> Faces:
        """`change` applied to every face."""
        return replace(self, pictures=tuple(tuple(change(face) for face in faces) for faces in self.pictures))

    def check_pictures(self, images: torch.Tensor) -> None:
        """Raises `InputError` when these cannot be the faces of `images` `[B,C,H,W]`: another number of pictures, or
        sides in another proportion, which no resizing to whole pixels explains."""
        self.check_batch(len(images))
        height, width = images.shape[-2:]
        pixel = max(1.0, height / self.height, width / self.width)  # of the smaller of the two sizes
        lows = [(side - pixel) / own for side, own in ((height, self.height), (width, self.width))]
        highs = [(side + pixel) / own for side, own in ((height, self.height), (width, self.width))]
        if max(lows) > min(highs):  # no scale leads from the one size to the other
            raise InputError(
                f"the faces were found in a picture of {self.width}x{self.height} px, this one has {width}x{height} px "
                "and other proportions: detect the faces in this picture"
            )

    def check_batch(self, batch: int) -> None:
        """Raises `InputError` when these are not the faces of a batch of `batch` pictures."""
        if len(self) != batch:
            raise InputError(
                f"faces of {len(self)} pictures do not fit a batch of {batch}: detect them in the same pictures"
            )


def in_order(faces: Sequence[Face]) -> tuple[Face, ...]:
    """Largest first; equally large ones (to a tenth of the area) from left to right, then from top to bottom.

    The order depends on the faces alone, not on the order in which a detector found them.
    """
    remaining = sorted(faces, key=lambda face: (-face.area, face.box[0], face.box[1]))
    ordered: list[Face] = []
    while remaining:
        largest = remaining[0]
        alike = [face for face in remaining if face is largest or face.area >= 0.9 * largest.area]
        ordered += sorted(alike, key=lambda face: (face.box[0], face.box[1]))
        remaining = [face for face in remaining if not any(face is other for other in alike)]
    return tuple(ordered)
