"""What finding people among so many made-up faces takes, measured in a process of its own: FACES [SPREAD]."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

from ...benchmark.measuring.fresh_processes import held_bytes, peak_bytes
from .near_neighbours import Vectors, near_pairs

PHOTOS, WIDTH = 4, 128
"""Photos of a person, and numbers of a face."""
SPREAD = 0.35
"""How far a person's photos lie around their middle, which is drawn from the normal distribution in each number:
the mean cosine of two photos of a person is 1 / (1 + SPREAD ** 2), 0.89."""
LEAST = 0.65
"""Least cosine of a pair. That of two people's photos is about 0, with a standard deviation of 0.09."""


@dataclass(frozen=True)
class NeighbourCost:
    """What it took.

    Attributes:
        cpu_seconds: of all threads.
        bytes: at the peak, above the faces themselves.
        found, wrong: share of the true pairs that were found, and of the found that are no person's.
    """

    faces: int
    cpu_seconds: float
    bytes: int
    found: float
    wrong: float


def made_up_faces(count: int, spread: float = SPREAD, seed: int = 0) -> Vectors:
    """`[count, WIDTH]`, of length 1; those of one person follow each other, `PHOTOS` of each."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((-(-count // PHOTOS), WIDTH), dtype=np.float32)
    vectors = np.repeat(people, PHOTOS, axis=0)[:count]
    vectors += np.float32(spread) * rng.standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def neighbour_cost(count: int, spread: float = SPREAD) -> NeighbourCost:
    """Find the pairs of so many made-up faces; the truth is looked up among the photos of each person."""
    vectors = made_up_faces(count, spread)
    whole = vectors[: count // PHOTOS * PHOTOS].reshape(-1, PHOTOS, WIDTH)
    one, other = np.triu_indices(PHOTOS, 1)
    alike = np.einsum("pid,pjd->pij", whole, whole)[:, one, other]
    truth = int((alike >= LEAST).sum())
    held, started = held_bytes(), time.process_time()
    pairs, _ = near_pairs(vectors, np.arange(count), LEAST)
    seconds = time.process_time() - started
    right = int((pairs[:, 0] // PHOTOS == pairs[:, 1] // PHOTOS).sum())
    return NeighbourCost(count, seconds, peak_bytes() - held, right / max(truth, 1), 1 - right / max(len(pairs), 1))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(neighbour_cost(int(sys.argv[1]), *map(float, sys.argv[2:])))) + "\n")
