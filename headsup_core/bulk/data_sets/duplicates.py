"""The same photo twice, resized or saved anew: a fingerprint of how light changes from left to right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

MOST_BITS = 6
"""Bits of 64 in which the fingerprints of two copies of a photo may differ; of two photos of a person some 20 do."""


def fingerprint(picture: Image.Image) -> int:
    """64 bits: of a copy of 9 x 8 px in grey, whether each pixel is lighter than its right neighbour (dHash)."""
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (small[:, :-1] > small[:, 1:]).flatten()
    return int(np.packbits(bits).view(">u8")[0])


def differing_bits(one: int, other: int) -> int:
    """How many bits differ in two fingerprints, 0..64."""
    return (one ^ other).bit_count()


def doubles(
    prints: Sequence[int], sizes: Sequence[int], alike: Iterable[tuple[int, int]] = ()
) -> dict[int, int]:
    """Photo -> the photo that is kept in its place, the one with the most pixels (of equal ones the first).

    Photos of one fingerprint are found by it; near ones are looked for among the pairs that `alike` names (photos that
    show the same person), so that the cost grows with the number of photos and not with its square.
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

    first: dict[int, int] = {}
    for index, value in enumerate(prints):
        join(first.setdefault(value, index), index)
    for one, other in alike:
        if differing_bits(prints[one], prints[other]) <= MOST_BITS:
            join(one, other)
    return {index: root(index) for index in range(len(prints)) if root(index) != index}
