"""Batch runs that are killed at random moments, and resumed."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from .bench import LIMIT, PICTURES, Bench, Run, files_in
from .findings import Findings, Steps


def killed_runs(folder: Path, kills: int, seed: int, findings: Findings) -> str:
    """Kill so many runs; in words what was done.

    Half of them at a moment of the whole run, half when they are about to write.
    """
    if not kills:
        return "no killed runs"
    bench, chance = Bench(folder / "killed", findings), random.Random(seed)  # noqa: S311 - no secret
    if not bench.prepare():
        return "no killed runs"
    steps, output = Steps("killed runs", kills), folder / "killed" / "out"
    killed = writing = resumed = 0
    for attempt in range(10 * kills):
        if killed == kills:
            break
        run = bench.run()
        wait = chance.random() * bench.seconds
        if attempt % 2:
            missing = PICTURES + 1 - len(files_in(output))
            _wait_for_writing(run, output, chance.randrange(max(1, missing)))
            wait = chance.random() * 0.004
        until = run.seconds + wait
        while run.seconds < until and not run.ended():
            time.sleep(0.0005)
        status = run.kill()
        moment = f"after run {attempt}"
        if status == -signal.SIGKILL:
            killed += 1
            writing += bool(list(output.glob(".*.tmp")))
            steps.advance()
        elif status != 0:
            findings.add("tracebacks", f"{moment}: status {status}, {run.said[-300:]}")
        bench.check(moment)
        if chance.random() < 0.4 or killed == kills:
            bench.complete(moment)
            resumed += 1
    return f"{killed} killed runs ({writing} of them in the middle of a file), {resumed} times resumed to the end"


def _wait_for_writing(run: Run, output: Path, files: int) -> None:
    """Until it has made so many files and begins one more, or is done."""
    names = {path.name for path in output.iterdir()}
    while not run.ended() and run.seconds < LIMIT:
        new = [path.name for path in output.iterdir() if path.name not in names]
        if sum(not name.startswith(".") for name in new) >= files and any(name.startswith(".") for name in new):
            return
        time.sleep(0.0002)
