"""Runs jobs side by side, as many at a time as the machine has room for; each one's output stays together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .console import ScriptError, say

LANES = "HEADSUP_TEST_LANES"
BYTES_PER_LANE = 3 << 30  # the largest part, with its ComfyUI processes, takes less
MOST_LANES = 4  # more parts than that never run at the same time for long
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """A command with a name; `variables` are added to its environment."""

    name: str
    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit status, seconds on the clock, and seconds of CPU with all its child processes."""

    name: str
    status: int
    seconds: float
    cpu_seconds: float


def lanes_here() -> int:
    """How many jobs fit on this machine: one per core and per 3 GiB of memory, 1 to 4; `HEADSUP_TEST_LANES` wins.

    Raises:
        ScriptError: the variable holds no number above 0.
    """
    asked = os.environ.get(LANES)
    if asked is not None:
        if not asked.isdecimal() or int(asked) < 1:
            raise ScriptError(f"{LANES} is {asked!r}: set it to the number of parts to run at a time, or unset it.")
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores, memory // BYTES_PER_LANE, MOST_LANES))


class Lanes:
    """Runs jobs in `folder`, `count` at a time; with several, a job's output is shown when it has ended.

    Args:
        logs: folder that keeps each job's output when there are several.
    """

    def __init__(self, count: int, folder: Path, logs: Path) -> None:
        self._count = count
        self._folder = folder
        self._logs = logs
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run all jobs, begun in their order; the outcomes in that order.

        Raises:
            KeyboardInterrupt: the user stopped it; what ran was told to stop.
        """
        together = len(jobs) > 1
        if together:
            self._logs.mkdir(parents=True, exist_ok=True)
        outcomes: dict[str, Outcome] = {}
        with ThreadPoolExecutor(self._count) as pool:
            futures = [pool.submit(self._run_logged if together else self._run_shown, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    outcome = future.result()
                    outcomes[outcome.name] = outcome
                    if together:
                        say(f"== {outcome.name}\n{self._log(outcome.name).read_text(errors='replace').rstrip()}")
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                self._interrupt()
                raise
        return [outcomes[job.name] for job in jobs]

    def _run_shown(self, job: Job) -> Outcome:
        say(f"== {job.name}")
        return self._finish(job, *self._start(job, None))

    def _run_logged(self, job: Job) -> Outcome:
        say(f"- {job.name} begins")
        with self._log(job.name).open("wb") as log:
            return self._finish(job, *self._start(job, log.fileno()))

    def _start(self, job: Job, output: int | None) -> tuple[subprocess.Popen[bytes], float]:
        """Start a job, and when that was."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        # lanes share the cores, and toy networks gain nothing from threads
        env = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | env | dict(job.variables)
        start = time.monotonic()
        error = None if output is None else subprocess.STDOUT
        process = subprocess.Popen(job.command, cwd=self._folder, env=env, stdout=output, stderr=error)
        self._running.add(process)
        return process, start

    def _finish(self, job: Job, process: subprocess.Popen[bytes], start: float) -> Outcome:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self._running.discard(process)
        seconds = time.monotonic() - start
        return Outcome(job.name, process.returncode, seconds, used.ru_utime + used.ru_stime)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace('/', '-of-').replace(' ', '-')}.log"

    def _interrupt(self) -> None:
        """A terminal interrupts the jobs itself; whoever else sends the signal reaches only this process."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self._running and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in list(self._running):
            os.kill(process.pid, signal.SIGINT)
