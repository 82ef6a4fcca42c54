"""How far a run of many pictures is: pictures a second, and the time left."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm
from typing_extensions import Self

log = logging.getLogger(__name__)


class Pace:
    """Pictures a second of a run; what was kept from earlier runs costs next to nothing and is not counted.

    Args:
        total: pictures of the run.
        now: a clock in seconds.
    """

    def __init__(self, total: int, now: float) -> None:
        self.total, self.ended, self.computed, self.failed = total, 0, 0, 0
        self._started = now

    def count(self, status: str) -> None:
        """One picture more has ended."""
        self.ended += 1
        self.computed += status != "kept"
        self.failed += status == "failed"

    def rate(self, now: float) -> float:
        """Pictures a second so far."""
        return self.computed / max(now - self._started, 1e-9)

    def left(self, now: float) -> float | None:
        """Seconds; None while nothing is known."""
        rate = self.rate(now)
        return (self.total - self.ended) / rate if rate else None

    def text(self, now: float) -> str:
        """A line for a person."""
        left = self.left(now)
        time_left = "" if left is None else f", about {tqdm.format_interval(left)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.ended} of {self.total} pictures, {self.rate(now):.2f} a second{time_left}{failed}"


class BulkProgress:
    """A bar on a terminal, else a line in the log from time to time.

    Args:
        quiet: neither.
        seconds: between two lines.
    """

    def __init__(self, total: int, *, quiet: bool = False, seconds: float = 10.0) -> None:
        self.pace = Pace(total, time.monotonic())
        self._quiet, self._seconds, self._said = quiet, seconds, time.monotonic()
        hidden = quiet or not sys.stderr.isatty()
        self._bar = None if hidden else tqdm(total=total, unit="picture", leave=False)

    def count(self, status: str) -> None:
        """One picture more has ended."""
        self.pace.count(status)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix(failed=self.pace.failed, refresh=False)
        elif not self._quiet and now - self._said >= self._seconds:
            self._said = now
            log.info("%s", self.pace.text(now))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
