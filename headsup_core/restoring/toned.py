"""A picture that is grey or has one tint stays so: enlarged, restored, and in what references give to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..imaging.tints.chroma import Toning, toning_of
from .people.conditions import KnownFace


@dataclass(frozen=True)
class Tones:
    """What the colour of each picture of a batch is; None for a colour picture, to which nothing is done."""

    pictures: tuple[Toning | None, ...]

    @classmethod
    def of(cls, image: torch.Tensor) -> Tones:
        """Those of `image` `[B,3,h,w]` in 0..1."""
        return cls(tuple(toning_of(picture) for picture in image.split(1)))

    def apply(self, image: torch.Tensor, index: int | None = None) -> torch.Tensor:
        """A batch `[B,3,H,W]` of any size, or the picture at `index` `[1,3,H,W]`, with the colours it had.

        The same tensor when all are colour pictures.
        """
        tones = self.pictures if index is None else (self.pictures[index],)
        if not any(tones):
            return image
        pictures = zip(image.split(1), tones, strict=True)
        return torch.cat([picture if tone is None else tone.apply(picture) for picture, tone in pictures])

    def references(self, index: int, known: Mapping[int, KnownFace], size: Sequence[int]) -> dict[int, KnownFace]:
        """What a picture's known faces are conditioned by: of a colour photo only what is seen in such a picture.

        Args:
            known: in pixels of a picture of `size` (height, width).
        """
        tone = self.pictures[index]
        if tone is None:
            return dict(known)
        return {number: _toned(one, tone.at(one.face.box, size[0], size[1])) for number, one in known.items()}


def _toned(known: KnownFace, tone: Toning | None) -> KnownFace:
    """With another name, by which encoded references are kept: those of the colour photo are others."""
    if tone is None:
        return known
    mark = hash((tuple(tone.luma.tolist()), tuple(tone.offsets.flatten().tolist())))
    return replace(known, name=f"{known.name}\0{mark}", crop=tone.apply(known.crop))
