"""What all tests share. `headsup_core` is imported through a link, never by the repository root on the path."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pack import CORE_PARENT, link_package
from support.paths import ARTIFACTS, NOT_RUN, ROOT, TEST_SECONDS

pytest_plugins = ["harness.fixtures"]

link_package()
sys.path.insert(0, str(CORE_PARENT))


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "write the node snapshot, or the pictures of the help pages, anew"
    parser.addoption("--update-snapshot", action="store_true", help=words)
    words = "run the browser tests with this version of comfyui-frontend-package"
    parser.addoption("--frontend", metavar="VERSION", help=words)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only repeats another case with other sizes or precisions runs when it is asked for: `-m matrix`."""
    if "matrix" in config.getoption("-m"):
        return
    left = [item for item in items if item.get_closest_marker("matrix")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


SECONDS: defaultdict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect how long each test took, and what could not run, for the last lines of scripts/test."""
    SECONDS[report.nodeid] += report.duration
    if report.skipped and not hasattr(report, "wasxfail"):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        with NOT_RUN.open("a") as stream:
            stream.write(f"{report.nodeid} ({reason})\n")


def pytest_sessionfinish() -> None:
    """Add this run's times to those of the parts that run beside it, in one piece."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with TEST_SECONDS.open("a") as stream:
        stream.write("".join(f"{seconds:.2f}\t{test}\n" for test, seconds in SECONDS.items()))


@pytest.fixture(scope="session", autouse=True)
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Calibrations of the user's neither decide what is tested, nor are changed."""
    folder = tmp_path_factory.mktemp("calibrations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSUP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _same_precision_everywhere() -> Iterator[None]:
    """What the tests' own process computes does not depend on the machine's CPU; `test_precision` is about that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headsup_core.models.precision.cpu_computes_in_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder for logs and pictures that are kept after the tests."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS
