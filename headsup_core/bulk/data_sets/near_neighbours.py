"""The most alike faces among very many, by a graph of near neighbours (HNSW, Malkov and Yashunin), not all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...libraries import need

Vectors = npt.NDArray[np.float32]

EXACT = 2000
"""Up to so many faces all pairs are looked at."""
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 16, 80, 64
"""Neighbours of a node of the graph, and candidates that are kept while it is built and searched."""
SPARE = 8
"""Neighbours that are asked for beyond those wanted: some lie in the same photo."""


def near_pairs(
    vectors: Vectors, owners: npt.NDArray[np.int64], least_cosine: float, most: int = 20
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Faces of different photos whose cosine is at least `least_cosine`.

    Args:
        vectors: `[n,D]`, of length 1.
        owners: `[n]`, the photo of each face.
        most: partners that each face names, its most alike ones.

    Returns:
        Pairs `[m,2]` of faces, the smaller number first, in order and each once; and their cosines `[m]`.

    Raises:
        InputError: more than `EXACT` faces and no faiss.
    """
    count = len(vectors)
    if count < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    wanted = min(most + SPARE, count)
    near, cosines = _all(vectors, wanted) if count <= EXACT else _by_graph(vectors, wanted)
    rows = np.repeat(np.arange(count), near.shape[1]).reshape(near.shape)
    good = (near >= 0) & (cosines >= least_cosine)
    good &= owners[rows] != owners[np.maximum(near, 0)]
    good &= np.cumsum(good, axis=1) <= most
    pairs = np.sort(np.stack([rows[good], near[good]], axis=1), axis=1)
    unique, place = np.unique(pairs, axis=0, return_index=True)
    return unique.astype(np.int64), cosines[good][place].astype(np.float32)


def _all(vectors: Vectors, wanted: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    table = vectors @ vectors.T
    near = np.argsort(-table, axis=1, kind="stable")[:, :wanted]
    return near.astype(np.int64), np.take_along_axis(table, near, axis=1)


def _by_graph(vectors: Vectors, wanted: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    faiss = need("faiss", "faiss-cpu", "pairs among more than 2,000 faces")
    graph: Any = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD_WIDTH
    graph.hnsw.efSearch = max(SEARCH_WIDTH, wanted)
    graph.add(vectors)
    cosines, near = graph.search(vectors, wanted)
    return near, cosines
