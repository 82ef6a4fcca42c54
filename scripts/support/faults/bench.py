"""A batch of small pictures and what it gives when nothing disturbs it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from headsup_core.cli import main as command_line

from .findings import Findings
from .toy import toy_file

PICTURES, SIDE = 8, 24
LIMIT = 90
"""Seconds after which a run counts as hung."""
CRASHED = 70
"""Exit status of a run that ended in a traceback."""


class Run:
    """The command line in a process that is forked from this one, which has imported all that takes seconds."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._started = time.monotonic()
        self._log = log
        self._status: int | None = None
        self.process = os.fork()
        if not self.process:
            _become(arguments, log)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    @property
    def said(self) -> str:
        """On stdout and stderr."""
        return self._log.read_text(errors="replace")

    def ended(self) -> bool:
        """Whether it ended; of its own or not."""
        if self._status is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if process else None
        return self._status is not None

    def kill(self) -> int:
        """Kill it, if it has not ended; its exit status, -9 when it was killed."""
        if not self.ended():
            os.kill(self.process, signal.SIGKILL)
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        assert self._status is not None  # noqa: S101 - it has ended
        return self._status

    def finish(self) -> int | None:
        """Its exit status; None when it was killed because it took too long."""
        while not self.ended():
            if self.seconds > LIMIT:
                self.kill()
                return None
            time.sleep(0.005)
        return self._status


def _become(arguments: list[str], log: Path) -> None:
    """In the child: run the command and end, whatever happens."""
    status = CRASHED
    try:
        with log.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            sys.stdout = sys.stderr = stream
            try:
                status = command_line(arguments)
            except BaseException:  # the parent must not go on in here
                traceback.print_exc(file=stream)
    finally:
        os._exit(status)


@dataclass
class Bench:
    """Pictures, a model and an output folder in which somebody else's picture lies."""

    folder: Path
    findings: Findings
    expected: dict[str, bytes] = field(default_factory=dict[str, bytes])
    times: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0

    def prepare(self) -> bool:
        """Make them, and restore them undisturbed; whether that worked."""
        self.folder.mkdir()
        (self.folder / "in").mkdir()
        for number in range(PICTURES):
            values = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE + number, 3)).astype(np.uint8)
            Image.fromarray(values).save(self.folder / "in" / f"{number:02}.jpg")
        self.model = toy_file(self.folder)
        for name in ("warm", "undisturbed", "out"):
            (self.folder / name).mkdir()
            Image.new("RGB", (5, 5), "teal").save(self.folder / name / "03.png")  # of somebody else
        command_line(self.arguments("warm"))  # imports what is imported late
        run = self.run("undisturbed")
        status, self.seconds = run.finish(), run.seconds
        if status != 0:
            self.findings.add("lost pictures", f"an undisturbed run: status {status}, {run.said[-300:]}")
            return False
        self.given = {path: path.read_bytes() for path in (self.folder / "in").iterdir()}
        self.expected = files_in(self.folder / "undisturbed")
        if len(self.expected) != PICTURES + 1:
            self.findings.add("lost pictures", f"an undisturbed run: {sorted(self.expected)}")
            return False
        return True

    def run(self, output: str = "out") -> Run:
        """Start to restore, or to go on."""
        return Run(self.arguments(output), self.folder / "log")

    def arguments(self, output: str = "out") -> list[str]:
        """What the command is given: eight pictures of four tiles or more."""
        paths = [str(self.folder / "in"), "--output", str(self.folder / output), "--model", str(self.model)]
        options = ["--tile", "64", "--overlap", "16", "--no-faces", "--quiet", "--resume", "--device", "cpu"]
        return ["upscale", *paths, *options]

    def check(self, moment: str) -> None:
        """What lies there under a final name is whole and right, nothing was lost, replaced or made twice."""
        output = self.folder / "out"
        files = files_in(output)
        for name, content in files.items():
            if content == self.expected.get(name):
                continue
            try:
                with Image.open(output / name) as image:
                    image.load()
                self.findings.add("wrong pictures", f"{name} {moment}")
            except OSError as error:
                self.findings.add("half-written files", f"{name} {moment}: {error}")
        for name in {"03.png", *self.times} - files.keys():
            self.findings.add("lost pictures", f"{name} {moment}")
        for path, content in self.given.items():
            if not path.exists() or path.read_bytes() != content:
                self.findings.add("lost pictures", f"{path.name}, a picture given, {moment}")
        times = {name: (output / name).stat().st_mtime_ns for name in files}
        for name, before in self.times.items():
            if times.get(name, before) != before:
                self.findings.add("lost pictures", f"{name} was there and was replaced {moment}")
        self.times = times

    def complete(self, moment: str) -> None:
        """Resume to the end: the very same results as of an undisturbed run. Then clear the folder."""
        run, output = self.run(), self.folder / "out"
        status = run.finish()
        self.check(f"resumed {moment}")
        if status is None:
            self.findings.add("hangs", f"resumed {moment}")
        elif status != 0:
            kind = "tracebacks" if "Traceback" in run.said else "lost pictures"
            self.findings.add(kind, f"resumed {moment}: status {status}, {run.said[-300:]}")
        for name in self.expected.keys() - files_in(output).keys():
            self.findings.add("lost pictures", f"{name}, resumed {moment}")
        if left := [path.name for path in output.glob(".*")]:
            self.findings.add("half-written files", f"left over, resumed {moment}: {left}")
        shutil.rmtree(output)
        shutil.copytree(self.folder / "undisturbed", output, ignore=lambda _, names: set(names) - {"03.png"})
        self.times = {}


def files_in(folder: Path) -> dict[str, bytes]:
    """Those under final names."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
