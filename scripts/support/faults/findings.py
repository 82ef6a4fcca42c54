"""What a campaign counts, and what it says while it runs."""

from __future__ import annotations

import sys
import time
from collections import Counter

SECONDS_BETWEEN = 10
"""Between two lines that say how far a part is."""


class Findings:
    """What went wrong: counted by kind, the first of each kind in words; those are said at once, too, since a campaign
    that is stopped would else have told nothing."""

    KINDS = ("tracebacks", "hangs", "half-written files", "lost pictures", "wrong pictures", "growing memory")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(self.KINDS, 0))
        self.examples: list[str] = []

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= 3:
            self.examples.append(f"{kind}: {example}")
            sys.stdout.write(f"{self.examples[-1]}\n")
            sys.stdout.flush()


class Steps:
    """Says on stdout from time to time how far a part of the campaign is."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._said = time.monotonic()

    def advance(self) -> None:
        """One more is done."""
        self.reach(self._done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        self._done = done
        if time.monotonic() - self._said >= SECONDS_BETWEEN:
            self._said = time.monotonic()
            sys.stdout.write(f"{self._name}: {self._done} of {self._total}\n")
            sys.stdout.flush()
