"""Bulk work on Ray: two workers, a killed worker, a killed driver, a picture that kills its worker, resuming, URLs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from harness.object_store import BUCKET, SECRET, TOKEN, content, names, object_store
from PIL import Image

import headsup_core
from headsup_core.bulk.bulk_run import run_bulk
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine, ray_started, start_ray
from headsup_core.bulk.items import Item
from headsup_core.bulk.sources import list_items
from headsup_core.cli import main

PICTURES = 24
SECONDS = 1.0
"""That a picture takes the worker whose driver is killed."""
# the whole program of a worker that writes a line of its process for each picture
WORKER = """
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
"""
DRIVER = """
import sys
from bulk_copier import maker
from headsup_core.bulk.bulk_run import run_bulk
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine
from headsup_core.bulk.sources import list_items

output = Destination(sys.argv[2])
make_worker = maker(sys.argv[2], float(sys.argv[3]))
run_bulk(list_items([sys.argv[1]]), make_worker, Engine("ray", 2, 1, block=4), output, quiet=True)
"""


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


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    with object_store() as client:
        yield client


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
def ray(programs: Path, store: Any) -> Iterator[Any]:
    """Its workers inherit what the environment says of both."""
    with ray_started(None, 2) as started:
        yield started


def _run(items: list[Item], output: Path, told: Sequence[Callable[[Any], None]] = (), **options: Any) -> dict[str, Any]:
    from bulk_copier import maker  # pyright: ignore[reportMissingImports] - the fixture's

    make, engine = maker(str(output), **options), Engine("ray", 2, 1, block=4)
    outcome = run_bulk(items, make, engine, Destination(str(output)), quiet=True, told=told)
    assert outcome.ended
    return json.loads((output / "bulk_report.json").read_text())


SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class _SlowRay:
    """Leaves two processes running when it fails to start, which it does once: one of its own, and one that is nobody's
    child by then."""

    def __init__(self) -> None:
        self.left: list[psutil.Process] = []
        self.started = False

    def init(self, **options: Any) -> None:
        if not self.left:
            own = subprocess.Popen([*SLEEPER, "/lib/ray/gcs"])
            start = f"import subprocess, time; print(subprocess.Popen({[*SLEEPER, 'ray::agent']!r}, stdout=2).pid)"
            orphan = int(subprocess.check_output([sys.executable, "-c", f"{start}; time.sleep(2)"]))
            self.left = [psutil.Process(own.pid), psutil.Process(orphan)]
            raise Exception("its processes are slow")
        self.started = True

    def shutdown(self) -> None:
        pass


def test_a_start_of_ray_that_fails_is_tried_again_and_leaves_nothing_running() -> None:
    other = subprocess.Popen([*SLEEPER, "/lib/ray/of_somebody_else"])
    try:
        slow = _SlowRay()
        start_ray(slow, {})
        assert slow.started
        assert not psutil.wait_procs(slow.left, 10)[1]
        assert other.poll() is None
    finally:
        other.kill()


def test_a_killed_driver_and_the_same_command_do_every_picture_once(
    programs: Path, pictures: list[Item], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It comes first: the Ray that the killed driver has started is gone before this process starts its own."""
    output = tmp_path / "out"
    path = os.pathsep.join([str(programs), str(Path(headsup_core.__file__).parent.parent)])
    command = [sys.executable, str(programs / "driver.py"), str(tmp_path / "in"), str(output), str(SECONDS)]
    driver = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
    while driver.poll() is None and not ((output / "log.txt").exists() and len(_lines(output)) >= 6):
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    first = _settled(output)  # its workers end with it, some a little later
    assert first < PICTURES
    request.getfixturevalue("ray")
    report = _run(list_items([str(tmp_path / "in")]), output)
    names = [name for name, _ in _lines(output)]
    assert sorted(names) == [item.place for item in pictures]
    assert first <= report["kept"] < PICTURES
    assert report["done"] == PICTURES - report["kept"]


@pytest.mark.usefixtures("ray")
def test_two_workers_share_the_pictures_whatever_kills_them(pictures: list[Item], tmp_path: Path) -> None:
    """A worker that is killed costs nothing but the picture in work, and one that kills every worker is given up."""
    output = tmp_path / "out"
    killed: list[int] = []

    def kill(result: Any) -> None:
        for process in dict.fromkeys(int(process) for _, process in reversed(_lines(output))):
            if not killed and psutil.pid_exists(process):  # the poison may have been quicker
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    report = _run(pictures, output, [kill], seconds=0.1, poison="09.png")

    assert killed
    assert (report["done"] + report["kept"], report["failed"]) == (PICTURES - 1, 1)
    assert "09.png" in report["failures"][0]
    assert sorted(path.name for path in output.glob("*.png")) == [
        item.place for item in pictures if item.place != "09.png"
    ]
    lines = _lines(output)
    assert max(Counter(name for name, _ in lines).values()) == 1  # what was written was not written again
    assert len({process for _, process in lines}) > 2  # two workers, and those in place of the killed ones
    assert [json.loads(line)["input"] for line in (output / "failures.jsonl").read_text().splitlines()] == [
        pictures[9].name
    ]


def test_shards_of_a_bucket_come_out_as_shards_whichever_worker_restored_them(
    ray: Any, store: Any, toy_file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What two workers on Ray put into a bucket is what one process puts there."""
    for index in range(4):
        store.put_object(Bucket=BUCKET, Key=f"in/deep/{index}.png", Body=_png(20 * index))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for index in range(3):
            entry = tarfile.TarInfo(f"{index}.png")
            entry.size = len(_png(200 + index))
            tar.addfile(entry, io.BytesIO(_png(200 + index)))
    store.put_object(Bucket=BUCKET, Key="in/some.tar", Body=archive.getvalue())
    store.put_object(Bucket=BUCKET, Key="in/deep/bad.png", Body=b"no picture")
    given = ["upscale", f"s3://{BUCKET}/in", "--recursive", "--model", toy_file, "--no-faces", "--quiet"]
    given += ["--shards", "tar", "--shard-size", "3"]
    on_ray = [*given, "--output", f"s3://{BUCKET}/ray", "--engine", "ray", "--workers", "2", "--cpus-per-worker", "1"]
    assert main(on_ray) == 2
    assert main([*given, "--output", f"s3://{BUCKET}/local", "--engine", "local"]) == 2
    shards = ["pictures-00000.tar", "pictures-00001.tar", "some.tar"]
    assert names(store, "ray/") == [f"ray/{name}" for name in ("bulk_report.json", "failures.jsonl", *shards)]
    for shard in shards:
        ours, alone = (_members(content(store, f"{folder}/{shard}")) for folder in ("ray", "local"))
        assert list(ours) == list(alone)
        for name, picture in ours.items():
            assert np.abs(picture - alone[name]).max() <= 1
    report = json.loads(content(store, "ray/bulk_report.json"))
    assert (report["done"], report["failed"]) == (7, 1)
    store.put_object(Bucket=BUCKET, Key="in/deep/bad.png", Body=_png(1))
    assert main([*given, "--output", f"s3://{BUCKET}/ray", "--engine", "local"]) == 0
    report = json.loads(content(store, "ray/bulk_report.json"))
    assert (report["done"], report["kept"], report["failed"]) == (1, 7, 0)
    said = "".join(capfd.readouterr()) + content(store, "ray/failures.jsonl").decode()
    assert SECRET not in said
    assert TOKEN not in said


def _png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 9), (shade, 50, 200)).save(stream, "PNG")
    return stream.getvalue()


def _members(shard: bytes) -> dict[str, npt.NDArray[np.int16]]:
    """The pictures of a tar shard, by their names."""
    found: dict[str, npt.NDArray[np.int16]] = {}
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            assert file is not None
            found[entry.name] = np.asarray(Image.open(io.BytesIO(file.read())), np.int16)
    return found


def _settled(output: Path) -> int:
    """How many pictures are written when the time of three has brought no further one."""
    count = -1
    while (now := len(_lines(output))) != count:
        count = now
        time.sleep(3 * SECONDS)
    return count
