"""`scripts/test`: sets up what the tests need and runs them all, side by side where there are several cores."""

from __future__ import annotations

import os
import shutil
import sys
import time
from itertools import takewhile
from pathlib import Path

from .comfyui import CURRENT, OLDEST, ensure_comfyui
from .console import ScriptError, fail, run_logged, say, step
from .environment import ensure_venv, setup_lock
from .lanes import LANES, Job, Lanes, Outcome, lanes_here
from .pack import PACKAGE_PARENT, link_package
from .paths import ARTIFACTS, LOGS, NOT_RUN, ROOT, TEST_SECONDS, VENV

GROUPS = ("torch", "comfyui", "pack", "test")
CHROMIUM = Path("/usr/bin/chromium")
TOOLS = VENV / "bin"

CHECKS: dict[str, list[str]] = {
    "ruff": [f"{TOOLS}/ruff", "check", "--quiet", "."],
    "layers": [f"{TOOLS}/lint-imports", "--config", ".importlinter", "--no-cache"],
    "types": [f"{TOOLS}/pyright"],
}
CHECK_VARIABLES = {"layers": {"PYTHONPATH": str(PACKAGE_PARENT)}}
TESTS = ("core", "scripts", "nodes", "comfyui", "browser")
ORDER = ("ruff", "layers", "comfyui", "browser", "core", "scripts", "nodes", "types")
DIVISIBLE = ("core",)  # the others share servers and fixtures that cost more than a second lane gains
PYTEST = (f"{TOOLS}/python", "-m", "pytest", "-c", "tests/pytest.ini")

USAGE = f"""usage: scripts/test [PART ...] [pytest options]

Set up (.venv, two versions of ComfyUI, chromium) and run every check and test, one part on each core at a time
({LANES} sets how many at a time). The end says what took how long.
Parts: {", ".join((*CHECKS, *TESTS))}; without one, all run.
From the first option on, everything goes to pytest: scripts/test core -k tiles -x
"""


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
        lanes = lanes_here()
        set_up()
        start = time.monotonic()
        outcomes = Lanes(lanes, ROOT, ARTIFACTS / "output").run(jobs(parts, pytest_options, lanes))
    except ScriptError as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130
    return summarise(outcomes, time.monotonic() - start)


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


def jobs(parts: list[str], pytest_options: list[str], lanes: int) -> list[Job]:
    """What to run: the checks that end at once, then the longest first, so that the lanes end at about the same time.

    Checks take no options; with options the tests run as one, so that a selection that finds nothing in one part is
    no failure. A part of many small files is cut into as many jobs as there are lanes.
    """
    checks = [name for name in CHECKS if name in parts or not (parts or pytest_options)]
    tests = [name for name in TESTS if name in parts or not parts]
    if pytest_options:
        named = [Job(name, CHECKS[name]) for name in checks]
        folders = [f"tests/{name}" for name in tests]
        return [*named, *([Job(" ".join(tests), [*PYTEST, *folders, *pytest_options])] if tests else [])]
    found: list[Job] = []
    for name in ORDER:
        if name in checks:
            found.append(Job(name, CHECKS[name], CHECK_VARIABLES.get(name, {})))
        if name in tests:
            found.extend(test_jobs(name, lanes if name in DIVISIBLE else 1))
    return found


def test_jobs(part: str, count: int) -> list[Job]:
    """A part's tests as `count` jobs with every `count`-th file each."""
    if count == 1:
        return [Job(part, [*PYTEST, f"tests/{part}"])]
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / part).rglob("test_*.py"))
    count = min(count, len(files))  # pytest without a file would run them all
    return [Job(f"{part} {n + 1}/{count}", [*PYTEST, *files[n::count]]) for n in range(count)]


def summarise(outcomes: list[Outcome], seconds: float) -> int:
    """Say how each part ended, what took long and what could not run; the exit status of the whole."""
    slowest = slowest_tests(10)
    if slowest:
        say("== slowest tests")
    for taken, test in slowest:
        say(f"{taken:6.1f} s  {test}")
    say("== summary")
    say(f"{'part':12} {'seconds':>8} {'of CPU':>8}")
    for outcome in outcomes:
        verdict = "passed" if outcome.status == 0 else f"FAILED (status {outcome.status})"
        say(f"{outcome.name:12} {outcome.seconds:8.0f} {outcome.cpu_seconds:8.0f}  {verdict}")
    say(f"{'all':12} {seconds:8.0f} {sum(outcome.cpu_seconds for outcome in outcomes):8.0f}")
    not_run = NOT_RUN.read_text().splitlines() if NOT_RUN.exists() else []
    if not_run:
        say(f"NOT RUN: {len(not_run)} tests: {'; '.join(sorted(not_run))}")
    return int(any(outcome.status for outcome in outcomes))


def slowest_tests(count: int) -> list[tuple[float, str]]:
    """Seconds and names of the tests that took longest, with what was set up for them."""
    lines = TEST_SECONDS.read_text().splitlines() if TEST_SECONDS.exists() else []
    pairs = (line.split("\t", 1) for line in lines)
    return sorted(((float(seconds), test) for seconds, test in pairs), reverse=True)[:count]
