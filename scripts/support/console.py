"""What the scripts say: one line for each thing they do, and one line for what went wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScriptError(Exception):
    """Something the person at the keyboard can mend; the message says what is wrong and the remedy."""


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, and afterwards how long it took when that was more than a moment."""
    say(f"- {text}")
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds >= 5:
        say(f"  done in {seconds:.0f} s")


def run_logged(command: Sequence[str | Path], log: Path, remedy: str, env: dict[str, str] | None = None) -> None:
    """Run a command with its output in `log`.

    Raises:
        ScriptError: it failed; the message holds the last lines of the log and the remedy.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=env).returncode
    if code:
        raise ScriptError(f"{tail(log)}\n{Path(command[0]).name} ended with status {code} (log: {log}). {remedy}")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for error messages."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def fail(error: ScriptError) -> int:
    """Print the error for a person and return the exit status."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return 1
