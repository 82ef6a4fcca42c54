"""Means with bootstrap 95 % intervals that resample people: two photos of one person are no two people.

They are our own few lines because scipy.stats.bootstrap resamples single values and knows no groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], people: Sequence[str] | None = None) -> Interval:
    """Mean of `values` with the percentile bootstrap's 95 % interval (2000 resamples, seeded).

    Args:
        people: of whom each value is; all values of a person are drawn together. None: each of another person.
    """
    return _bootstrapped(np.asarray(values, dtype=np.float64)[:, None], people, lambda means: means[:, 0])


def relative_interval(ours: Sequence[float], theirs: Sequence[float], people: Sequence[str]) -> Interval:
    """mean(ours) / mean(theirs) - 1, pairwise, with its interval."""
    pairs = np.stack([np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)], axis=1)
    return _bootstrapped(pairs, people, lambda means: means[:, 0] / means[:, 1] - 1)


def _bootstrapped(values: Array, people: Sequence[str] | None, statistic: Callable[[Array], Array]) -> Interval:
    """`statistic` of the mean of `values` `[n,k]`, given as `[resamples,k]`."""
    names = np.arange(len(values)) if people is None else np.unique(np.asarray(people), return_inverse=True)[1]
    counts = np.bincount(names).astype(np.float64)
    sums = np.stack([np.bincount(names, weights=column) for column in values.T], axis=1)
    picks = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    low, high = np.percentile(statistic(sums[picks].sum(axis=1) / counts[picks].sum(axis=1)[:, None]), [2.5, 97.5])
    return Interval(float(statistic(values.mean(axis=0, keepdims=True))[0]), float(low), float(high))
