"""Every system on every case: figures, seconds, and means with intervals."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..errors import HeadsUpError
from ..imaging.resizing import resize
from .cases import Case, CleanFolder, PairFolders
from .face_region import FaceRegion
from .metrics import Metrics
from .systems import System

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One system on one case; figures of the whole picture and, when found, of the face."""

    case: str
    system: str
    seconds: float
    whole: dict[str, float]
    face: dict[str, float]


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


Keep = dict[str, list[tuple[str, torch.Tensor]]]


def evaluate(
    cases: CleanFolder | PairFolders,
    systems: Sequence[System],
    metrics: Metrics,
    face_region: FaceRegion | None,
    keep: int,
) -> tuple[list[Record], list[str], Keep]:
    """Run everything.

    Returns:
        Records; failures, each named; for the first `keep` cases (name -> [(system, picture)]) cut to the face.
    """
    records: list[Record] = []
    failures: list[str] = []
    sheets: Keep = {}
    for path in tqdm(cases.files(), disable=None):
        try:
            case = cases.load(path)
            face = face_region(case.truth) if face_region else None
        except HeadsUpError as error:
            failures.append(str(error) if path.name in str(error) else f"{path.name}: {error}")
            continue
        given = resize(case.bad, *case.truth.shape[-2:], mode="nearest")
        shown = [("given", _cut(given, face))]
        for system in systems:
            try:
                result, record = _run(case, system, metrics, face)
            except Exception as error:  # a peer's library raises what it likes; the other cases go on
                failures.append(f"{case.name}, {system.name}: {type(error).__name__}: {error}")
                continue
            records.append(record)
            shown.append((system.name, _cut(result, face)))
        if len(sheets) < keep:
            sheets[case.name] = [*shown, ("truth", _cut(case.truth, face))]
    return records, failures, sheets


def _run(case: Case, system: System, metrics: Metrics, face: tuple[slice, slice] | None) -> tuple[torch.Tensor, Record]:
    started = time.perf_counter()
    result = system.upscale(case.bad, *case.truth.shape[-2:])
    seconds = time.perf_counter() - started
    whole = metrics.measure(result, case.truth)
    on_face = {} if face is None else metrics.measure(_cut(result, face), _cut(case.truth, face))
    return result, Record(case.name, system.name, seconds, whole, on_face)


def _cut(image: torch.Tensor, face: tuple[slice, slice] | None) -> torch.Tensor:
    return image if face is None else image[..., face[0], face[1]]


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean with the percentile bootstrap's 95 % interval (2000 resamples, seeded)."""
    array = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(len(array), size=(2000, len(array)))
    low, high = np.percentile(array[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(array.mean()), float(low), float(high))


def paired_difference(records: Sequence[Record], region: str, figure: str, system: str, peer: str) -> Interval | None:
    """Mean of (system - peer) over the cases that both have."""
    ours, theirs = (
        {record.case: getattr(record, region)[figure] for record in records if record.system == name}
        for name in (system, peer)
    )
    both = [case for case in ours if case in theirs]
    return interval([ours[case] - theirs[case] for case in both]) if both else None
