"""Bulk work on Ray: two workers, a worker and a driver that are killed, resuming, a picture that kills its worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headsup_core
from headsup_core.bulk.bulk_run import run_bulk
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine, ray_started
from headsup_core.bulk.items import Item

PICTURES = 24
# the whole program of a worker that writes a line of its process for each picture
WORKER = '''
import os, signal, time
from functools import partial
from pathlib import Path
from headsup_core.bulk.destinations import Destination


class Copier:
    def __init__(self, output, seconds, poison=""):
        self.output, self.seconds, self.poison = Destination(output), seconds, poison

    def read(self, item):
        return None if self.output.read(item.place) else item.read()

    def work(self, item, read):
        time.sleep(self.seconds)
        if item.place == self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        return read

    def write(self, item, worked):
        self.output.write(item.place, worked)
        with open(Path(self.output.folder) / "log.txt", "a") as log:
            log.write(f"{item.place} {os.getpid()}\\n")
        return {"bytes": len(worked)}


def maker(output, seconds=0.0, poison=""):
    return partial(Copier, output, seconds, poison)
'''
DRIVER = '''
import sys
from bulk_copier import maker
from headsup_core.bulk.bulk_run import run_bulk
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine
from headsup_core.bulk.sources import list_items
from headsup_core.bulk.items import Item
from dataclasses import replace

output = Destination(sys.argv[2])
run_bulk(list_items([sys.argv[1]]), maker(sys.argv[2], 0.4), Engine("ray", 2, 1, block=4), output, quiet=True)
'''


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of modules that drivers and workers import."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "bulk_copier.py").write_text(WORKER)
    (folder / "driver.py").write_text(DRIVER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))  # of the workers
        yield folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Item]:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(PICTURES):
        (folder / f"{index:02d}.png").write_bytes(bytes([index]) * 10)
    return [Item(str(path), place=path.name) for path in sorted(folder.iterdir())]


def _lines(output: Path) -> list[list[str]]:
    return [line.split() for line in (output / "log.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def ray(programs: Path) -> Iterator[Any]:
    with ray_started(None, 2) as started:
        yield started


def _run(items: list[Item], output: Path, **options: Any) -> dict[str, Any]:
    from bulk_copier import maker  # pyright: ignore[reportMissingImports] - the fixture's

    outcome = run_bulk(
        items, maker(str(output), **options), Engine("ray", 2, 1, block=4), Destination(str(output)), quiet=True
    )
    assert outcome.ended
    return json.loads((output / "bulk_report.json").read_text())


def test_two_workers_share_the_pictures_and_a_poisoned_one_is_given_up(
    ray: Any, pictures: list[Item], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    report = _run(pictures, output, seconds=0.05, poison="09.png")
    assert (report["done"] + report["kept"], report["failed"]) == (PICTURES - 1, 1)
    assert "09.png" in report["failures"][0]
    lines = _lines(output)
    assert sorted(name for name, _ in lines) == [item.place for item in pictures if item.place != "09.png"]
    assert len({process for _, process in lines}) >= 4  # two workers, and those in place of the killed ones
    assert [json.loads(line)["input"] for line in (output / "failures.jsonl").read_text().splitlines()] == [
        pictures[9].name
    ]


def test_a_killed_worker_costs_the_picture_in_work(ray: Any, pictures: list[Item], tmp_path: Path) -> None:
    output = tmp_path / "out"
    killed: list[int] = []

    def kill(result: Any) -> None:
        if not killed:
            killed.append(int(_lines(output)[-1][1]))
            os.kill(killed[0], signal.SIGKILL)

    from bulk_copier import maker  # pyright: ignore[reportMissingImports] - the fixture's

    make, engine = maker(str(output), seconds=0.15), Engine("ray", 2, 1, block=4)
    outcome = run_bulk(pictures, make, engine, Destination(str(output)), quiet=True, told=[kill])
    assert killed
    assert outcome.counts["failed"] == 0
    names = [name for name, _ in _lines(output)]
    assert sorted(names) == [item.place for item in pictures]  # what was written was not written again


def test_a_killed_driver_and_the_same_command_do_every_picture_once(
    programs: Path, pictures: list[Item], tmp_path: Path
) -> None:
    import ray as library

    library.shutdown()
    output = tmp_path / "out"
    path = os.pathsep.join([str(programs), str(Path(headsup_core.__file__).parent.parent)])
    command = [sys.executable, str(programs / "driver.py"), str(tmp_path / "in"), str(output)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(command, env=environment)
    while driver.poll() is None and not ((output / "log.txt").exists() and len(_lines(output)) >= 6):
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    first = _settled(output)  # its workers end with it, some a little later
    assert first < PICTURES
    subprocess.run(command, env=environment, check=True, timeout=300)
    names = [name for name, _ in _lines(output)]
    assert sorted(names) == [item.place for item in pictures]
    report = json.loads((output / "bulk_report.json").read_text())
    assert first <= report["kept"] < PICTURES
    assert report["done"] == PICTURES - report["kept"]


def _settled(output: Path) -> int:
    """How many pictures are written when three seconds have brought no further one."""
    count = -1
    while (now := len(_lines(output))) != count:
        count = now
        time.sleep(3.0)
    return count


