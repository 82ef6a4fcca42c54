"""A run over many pictures from its first to its last: progress, what failed, and the report at the end."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .blocks import Block, MakeWorker, Result
from .destinations import Destination
from .engine import Engine
from .items import Item
from .progress_lines import BulkProgress

log = logging.getLogger(__name__)

FAILURES = "failures.jsonl"
REPORT = "bulk_report.json"
SAVE_SECONDS = (1.0, 30.0)
"""Between two writings of what failed: to a disk, and to an object store."""
MOST_NAMED = 100
"""Failures that the report names; `failures.jsonl` has all."""


@dataclass
class BulkOutcome:
    """What became of a run.

    Attributes:
        counts: done, kept and failed pictures.
        seconds: of the whole run, with the start of its workers.
        spans: worker -> when its first picture began and its last one was written, in seconds since 1970.
        busy: seconds that workers computed, together.
        failures: one line each, of the first `MOST_NAMED`.
        numbers: sums of the numbers that workers said of pictures.
    """

    pictures: int
    counts: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    spans: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    busy: float = 0.0
    failures: list[str] = field(default_factory=list[str])
    numbers: Counter[str] = field(default_factory=Counter[str])
    ended: bool = False

    @property
    def working_seconds(self) -> float:
        """From the first picture's beginning to the last one's end, whoever worked on it."""
        return max((end for _, end in self.spans.values()), default=0.0) - min(
            (begin for begin, _ in self.spans.values()), default=0.0
        )

    @property
    def idle(self) -> float:
        """Share of the time between a worker's first picture and its last in which it did not compute: it waited for
        reading, writing or its next block. 0..1; 0 where nothing was to be computed."""
        present = sum(end - begin for begin, end in self.spans.values())
        return max(0.0, 1 - self.busy / present) if present and self.busy else 0.0

    def __str__(self) -> str:
        parts = [f"{self.counts['done']} done"]
        parts += [f"{self.counts['kept']} were done already"] if self.counts["kept"] else []
        parts += [f"{self.counts['failed']} failed"] if self.counts["failed"] else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        computed = self.counts["done"] + self.counts["failed"]
        return {
            "pictures": self.pictures,
            **{status: self.counts[status] for status in ("done", "kept", "failed")},
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "working_seconds": round(self.working_seconds, 3),
            "pictures_per_second": round(computed / max(self.working_seconds, 1e-9), 4),
            "workers": len(self.spans),
            "worker_seconds": round(self.busy, 3),
            "idle_share": round(self.idle, 4),
            **{name: round(value, 4) for name, value in self.numbers.items()},
            "failures": self.failures,
        }


def run_bulk(
    items: Sequence[Item],
    make_worker: MakeWorker,
    engine: Engine,
    destination: Destination,
    *,
    quiet: bool = False,
    told: Sequence[Callable[[Result], None]] = (),
    facts: dict[str, Any] | None = None,
) -> BulkOutcome:
    """Work on every item; writes `failures.jsonl` (of this run) and `bulk_report.json` into the destination.

    Both are written when the run is interrupted or broken off, too.

    Args:
        told: hear of each result as it is known.
        facts: further entries of the report.
    """
    for leftover in destination.clean():
        log.info("%s, left by an interrupted run, was removed", leftover)
    block = Block(destination.address, uuid.uuid4().hex[:12])
    outcome, failures = BulkOutcome(len(items)), _Failures(destination)
    started = time.monotonic()
    try:
        with BulkProgress(len(items), quiet=quiet) as progress:
            for result in engine.run(items, make_worker, block):
                _count(outcome, result)
                if result.status == "failed":
                    failures.add(result)
                progress.count(result.status)
                for tell in told:
                    tell(result)
        outcome.ended = True
    except KeyboardInterrupt:
        log.info("interrupted: %s of %d pictures; the same command goes on", outcome, len(items))
        raise
    finally:
        outcome.seconds = time.monotonic() - started
        failures.save()
        destination.write(REPORT, json.dumps({**(facts or {}), **outcome.to_json()}, indent=1).encode())
    log.info("%s; %s", outcome, f"{len(items)} pictures in {outcome.seconds:.1f} s")
    return outcome


def _count(outcome: BulkOutcome, result: Result) -> None:
    outcome.counts[result.status] += 1
    outcome.busy += result.seconds
    if result.worker:
        begin, end = outcome.spans.get(result.worker, (result.began, result.ended))
        outcome.spans[result.worker] = min(begin, result.began), max(end, result.ended)
    if result.error and len(outcome.failures) < MOST_NAMED:
        outcome.failures.append(result.error)
    for name, value in result.more.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            outcome.numbers[name] += value  # pyright: ignore[reportArgumentType] - a Counter adds floats as well


class _Failures:
    """`failures.jsonl`: a line for each picture that failed in this run."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._lines: list[str] = []
        self._saved = time.monotonic()
        self.save()

    def add(self, result: Result) -> None:
        self._lines.append(json.dumps({"input": result.item.name, "error": result.error}))
        often = SAVE_SECONDS[self._destination.folder is None]
        if time.monotonic() - self._saved > often:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        self._destination.write(FAILURES, "".join(line + "\n" for line in self._lines).encode())
