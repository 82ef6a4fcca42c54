"""`scripts/test`: sets up what the tests need and runs them all, the fast ones first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from .comfyui import CURRENT, OLDEST, ensure_comfyui
from .console import ScriptError, fail, run_logged, say, step
from .environment import ensure_venv, setup_lock
from .pack import PACKAGE_PARENT, link_package
from .paths import ARTIFACTS, LOGS, NOT_RUN, ROOT, VENV

GROUPS = ("torch", "comfyui", "pack", "test")
CHROMIUM = Path("/usr/bin/chromium")
TOOLS = VENV / "bin"

CHECKS: dict[str, list[str]] = {
    "ruff": [f"{TOOLS}/ruff", "check", "--quiet", "."],
    "layers": [f"{TOOLS}/lint-imports", "--config", ".importlinter", "--no-cache"],
    "types": [f"{TOOLS}/pyright"],
}
TESTS = ("core", "scripts", "nodes", "comfyui", "browser")

USAGE = f"""usage: scripts/test [PART ...] [pytest options]

Set up (.venv, two versions of ComfyUI, chromium) and run every check and test.
Parts: {", ".join((*CHECKS, *TESTS))}; without one, all run.
From the first option on, everything goes to pytest: scripts/test core -k tiles -x
"""


@dataclass(frozen=True)
class Outcome:
    """How one part ended."""

    name: str
    status: int
    seconds: float


def main() -> int:
    """Run the tests; the exit status."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        say(USAGE)
        return 0
    parts = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    pytest_options = arguments[len(parts) :]
    try:
        check_parts(parts)
        set_up()
    except ScriptError as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130
    return summarise([run(name, command) for name, command in commands(parts, pytest_options)])


def check_parts(parts: list[str]) -> None:
    """Raises `ScriptError` for a part that does not exist."""
    known = (*CHECKS, *TESTS)
    unknown = [part for part in parts if part not in known]
    if unknown:
        raise ScriptError(f"no such part: {', '.join(unknown)}; the parts are {', '.join(known)}.")


def set_up() -> None:
    """Make sure that everything that the tests need is there; nothing is skipped for want of it."""
    with setup_lock():
        ensure_venv(GROUPS)
        ensure_comfyui(CURRENT)
        ensure_comfyui(OLDEST)
        ensure_chromium()
        link_package()
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir(parents=True)


def ensure_chromium() -> None:
    """Install the browser with apt when it is missing.

    Raises:
        ScriptError: that is not possible here; the message says what to install.
    """
    if CHROMIUM.exists():
        return
    remedy = "Install the Debian package chromium (apt install chromium) and run this script again."
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ScriptError(f"the browser tests need {CHROMIUM}. {remedy}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("installing chromium with apt"):
        run_logged(["apt-get", "update", "-q"], LOGS / "apt-update.log", remedy, env)
        command = ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"]
        run_logged(command, LOGS / "apt-install.log", remedy, env)


def commands(parts: list[str], pytest_options: list[str]) -> list[tuple[str, list[str]]]:
    """What to run, in order. Checks take no options; with options the tests run as one, so that a selection
    that finds nothing in one part is no failure."""
    checks = [(name, command) for name, command in CHECKS.items() if name in parts or not (parts or pytest_options)]
    tests = [name for name in TESTS if name in parts or not parts]
    pytest = [f"{TOOLS}/python", "-m", "pytest", "-c", "tests/pytest.ini"]
    if pytest_options and tests:
        return [*checks, (" ".join(tests), [*pytest, *(f"tests/{name}" for name in tests), *pytest_options])]
    return [*checks, *((name, [*pytest, f"tests/{name}"]) for name in tests)]


def run(name: str, command: list[str]) -> Outcome:
    """Run one part in the repository root."""
    say(f"== {name}")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if name == "layers":
        env["PYTHONPATH"] = str(PACKAGE_PARENT)
    start = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env=env).returncode
    return Outcome(name, status, time.monotonic() - start)


def summarise(outcomes: list[Outcome]) -> int:
    """Say how each part ended and what could not run; the exit status of the whole."""
    say("== summary")
    for outcome in outcomes:
        verdict = "passed" if outcome.status == 0 else f"FAILED (status {outcome.status})"
        say(f"{outcome.name:10} {verdict}, {outcome.seconds:.0f} s")
    not_run = NOT_RUN.read_text().splitlines() if NOT_RUN.exists() else []
    if not_run:
        say(f"NOT RUN: {len(not_run)} tests: {'; '.join(sorted(not_run))}")
    return int(any(outcome.status for outcome in outcomes))
