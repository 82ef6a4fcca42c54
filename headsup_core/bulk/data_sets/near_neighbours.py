"""The most alike faces among very many, by cells of space that each face looks into a few of, not by all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...libraries import need

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

EXACT = 2000
"""Up to so many faces all pairs are looked at."""
CELL = 256
"""Faces of a cell, about; there are as many cells as that takes, so that a cell does not grow with the data set."""
VISITS = 64
"""Cells that a face looks into: its own and the next."""
ROUNDS, SAMPLE = 5, 64
"""Rounds of k-means, which finds the middles of the cells, and faces that it sees for each."""
AT_ONCE = 8192
"""Faces that are compared with a cell at once."""


def near_pairs(vectors: Vectors, owners: Numbers, least_cosine: float, most: int = 20) -> tuple[Numbers, Vectors]:
    """Faces of different photos whose cosine is at least `least_cosine`.

    The cost of comparing grows as the number of faces: each looks at `VISITS` cells of `CELL` faces. Finding its cells
    grows as the square with a small factor: of two million faces it is about half of the work.

    Args:
        vectors: `[n,D]`, of length 1.
        owners: `[n]`, the photo of each face.
        most: partners that each face names, its most alike ones.

    Returns:
        Pairs `[m,2]` of faces, the smaller number first, in order and each once; and their cosines `[m]`.

    Raises:
        InputError: more than `EXACT` faces and no faiss.
    """
    everybody = np.arange(len(vectors))
    cells = iter([(everybody, everybody)]) if len(vectors) <= EXACT else _cells(vectors)
    best, more, waiting = _none(), [_none()], 0
    for members, visitors in cells:
        for start in range(0, len(visitors), AT_ONCE):
            found = _alike(vectors, owners, visitors[start : start + AT_ONCE], members, least_cosine)
            more.append(found)
            waiting += len(found[0])
        if waiting > 2 * most * len(vectors):  # many photos of one person
            best, more, waiting = _best([best, *more], most), [], 0
    faces, others, cosines = _best([best, *more], most)
    pairs, place = np.unique(np.sort(np.stack([faces, others], axis=1), axis=1), axis=0, return_index=True)
    return pairs.astype(np.int64), cosines[place]


_Named = tuple[Numbers, Numbers, Vectors]
"""Faces, one that each of them names, and the cosine of the two."""


def _none() -> _Named:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)


def _cells(vectors: Vectors) -> Iterator[tuple[Numbers, Numbers]]:
    """Who is in each cell, and who looks into it."""
    faiss: Any = need("faiss", "faiss-cpu", f"pairs among more than {EXACT} faces")
    count, width = vectors.shape
    cells = max(2, count // CELL)
    means = faiss.Kmeans(width, cells, niter=ROUNDS, spherical=True, max_points_per_centroid=SAMPLE, seed=1)
    means.train(vectors)
    visited = means.index.search(vectors, min(VISITS, cells))[1].astype(np.int32)
    homes, ways = np.argsort(visited[:, 0], kind="stable"), np.argsort(visited, axis=None, kind="stable")
    home_ends = np.cumsum(np.bincount(visited[:, 0], minlength=cells))
    way_ends = np.cumsum(np.bincount(visited.ravel(), minlength=cells))
    members, visitors = np.split(homes, home_ends[:-1]), np.split(ways // visited.shape[1], way_ends[:-1])
    return iter(zip(members, visitors, strict=True))


def _alike(vectors: Vectors, owners: Numbers, faces: Numbers, members: Numbers, least_cosine: float) -> _Named:
    """Which of the members each of the faces is near to."""
    table = vectors[faces] @ vectors[members].T
    here, there = np.nonzero(table >= least_cosine)
    apart = owners[faces[here]] != owners[members[there]]
    here, there = here[apart], there[apart]
    return faces[here], members[there], table[here, there]


def _best(named: list[_Named], most: int) -> _Named:
    """The most alike of those that each face names, at most `most`; by their numbers among equals."""
    faces, others, cosines = (np.concatenate(part) for part in zip(*named, strict=True))
    order = np.lexsort((others, -cosines, faces))
    faces, others, cosines = faces[order], others[order], cosines[order]
    rank = np.arange(len(faces)) - np.searchsorted(faces, faces)
    kept = rank < most
    return faces[kept], others[kept], cosines[kept]
