"""The same photo twice, resized or saved anew: found by fingerprint or by face, told from others by a thumbnail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

SIDE = 16
"""Pixels of the thumbnail in each direction."""
MOST_OFF = 2.0
"""Mean difference in levels of 255 of the thumbnails of two copies. Measured: copies at most 0.5 (0.3 to 0.9 times the
size, JPEG 50 to 90); two photos of one sitting, in front of one background, at least 5."""


def fingerprint(picture: Image.Image) -> int:
    """64 bits: of a copy of 9 x 8 px in grey, whether each pixel is lighter than its right neighbour (dHash)."""
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (small[:, :-1] > small[:, 1:]).flatten()
    return int(np.packbits(bits).view(">u8")[0])


def thumbnail(picture: Image.Image) -> bytes:
    """`SIDE` x `SIDE` grey pixels, row by row."""
    return picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def are_copies(one: bytes, other: bytes) -> bool:
    """Whether two thumbnails are of one photo; not when one of them is missing."""
    if not one or not other:
        return False
    pixels = [np.frombuffer(thumb, np.uint8).astype(np.int16) for thumb in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean()) <= MOST_OFF


def doubles(
    prints: Sequence[int], thumbs: Sequence[bytes], sizes: Sequence[int], alike: Iterable[tuple[int, int]] = ()
) -> dict[int, int]:
    """Photo -> the photo that is kept in its place, the one with the most pixels (of equal ones the first).

    Copies are looked for among photos of one fingerprint and among the pairs that `alike` names (photos that show the
    same person), so that the cost grows with the number of photos and not with its square.
    """
    parent = list(range(len(prints)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(one: int, other: int) -> None:
        a, b = root(one), root(other)
        if a != b:
            better, worse = sorted((a, b), key=lambda index: (-sizes[index], index))
            parent[worse] = better

    of_print: dict[int, list[int]] = {}
    for index, value in enumerate(prints):
        others = of_print.setdefault(value, [])
        if (copied := next((other for other in others if are_copies(thumbs[index], thumbs[other])), None)) is None:
            others.append(index)
        else:
            join(copied, index)
    for one, other in alike:
        if are_copies(thumbs[one], thumbs[other]):
            join(one, other)
    return {index: root(index) for index in range(len(prints)) if root(index) != index}
