"""Programs run in fresh processes, so that one measurement leaves neither memory nor imports to the next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ...errors import HeadsUpError

PROGRAMS = Path(__file__).parent / "programs"
"""The programs that run there."""


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would begin at the parent's peak, which outlives fork and exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import psutil

    peak: int | None = getattr(psutil.Process().memory_info(), "peak_wset", None)  # Windows
    if peak is None:
        import resource  # macOS, which counts in bytes

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


def held_bytes() -> int:
    """Resident memory of this process now."""
    import psutil

    return psutil.Process().memory_info().rss


def forget_peak() -> None:
    """Let `peak_bytes` begin anew, where the system can (Linux); elsewhere what came before still counts."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def run_program(name: str, *arguments: str) -> dict[str, float]:
    """What one of `PROGRAMS` measures, by name, in a new interpreter. Raises `HeadsUpError` when it failed."""
    return json.loads(run_fresh("-m", f"headsup_core.benchmark.measuring.programs.{name}", *arguments))


def run_fresh(*arguments: str) -> str:
    """The last line that a new interpreter with these arguments writes; it finds `headsup_core` as a module.

    Raises:
        HeadsUpError: it failed; with the last line of its error.
    """
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, cwd=root, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise HeadsUpError(f"a measurement in a process of its own failed: {reason}")
    return done.stdout.strip().splitlines()[-1]
