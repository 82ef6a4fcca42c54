"""`benchmark bulk`: engines against the plain loop, two workers against one, and whether memory grows, as ratios."""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from ...bulk.bulk_run import REPORT
from ...bulk.engine import need_ray
from ...errors import HeadsUpError, InputError
from .shared_arguments import Subcommands, add_subcommand, finish

log = logging.getLogger(__name__)

EARLY = 100
"""Pictures after which memory is looked at first."""
THREADS = 1
"""Threads that each worker computes with, and the plain loop."""
WAYS = {
    "plain loop": ["--engine", "plain"],
    "local engine": ["--engine", "local"],
    "ray, 1 worker": ["--engine", "ray", "--workers", "1", "--cpus-per-worker", "1"],
    "ray, 2 workers": ["--engine", "ray", "--workers", "2", "--cpus-per-worker", "1"],
}


@dataclass(frozen=True)
class BulkTime:
    """One way to restore the same pictures once, in processes of their own with `THREADS` threads a worker.

    Attributes:
        rate: pictures a second. On an engine from the first picture's beginning to the last one's end, by the workers'
            clocks; in the plain loop from the end of the first to that of the last. Starting is counted in neither.
        seconds: of the whole command.
        idle: share of the workers' time between first and last picture in which they did not compute; None in the plain
            loop.
        early, late: resident bytes of the command's process after `EARLY` pictures and after the last; on Ray that is
            the driver.
    """

    way: str
    rate: float
    seconds: float
    idle: float | None
    early: int
    late: int


def add_subcommands(subcommands: Subcommands) -> None:
    bulk = add_subcommand(subcommands, "bulk", _bulk)
    bulk.add_argument("model", help="a model that is complete in itself")
    bulk.add_argument("--pictures", type=int, default=200, metavar="N", help="made-up pictures (default 200)")
    bulk.add_argument("--side", type=int, default=256, metavar="N", help="of each, in px (default 256)")
    bulk.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS), help="default: all")
    bulk.add_argument("--scale", type=float, default=1.0, metavar="X", help="enlargement (default 1)")
    bulk.add_argument(
        "--rounds",
        type=int,
        default=2,
        metavar="N",
        help="times that all ways are run, forth and back: how one way differs from itself is said, too (default 2)",
    )


def _bulk(args: argparse.Namespace) -> int:
    """Time engines against the plain loop on the same made-up pictures."""
    for name, least in (("pictures", 2), ("side", 8), ("rounds", 1)):
        if (value := getattr(args, name)) < least:
            raise InputError(f"--{name} {value}: must be at least {least}")
    if any(way.startswith("ray") for way in args.ways):
        need_ray()
    times: list[BulkTime] = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "in"
        make_pictures(pictures, args.pictures, args.side)
        for way in in_turns(args.ways, args.rounds):
            with tempfile.TemporaryDirectory(dir=folder) as output:
                times.append(time_way(way, args.model, pictures, Path(output), args.scale))
            log.info("%s: %.3f pictures a second, %.1f s in all", way, times[-1].rate, times[-1].seconds)
    return finish(args.output, "bulk.md", bulk_table(times, args.pictures, args.side, args.scale))


def in_turns(ways: Sequence[str], rounds: int) -> list[str]:
    """The ways in the order of running: forth, back, forth, so that a drift of the machine meets all alike."""
    return [way for number in range(rounds) for way in (ways if number % 2 == 0 else reversed(ways))]


def make_pictures(folder: Path, count: int, side: int) -> None:
    """Write pictures of smooth noise, each another one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 255, (side // 8 + 1, side // 8 + 1, 3)).astype(np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index:06d}.png")


def time_way(way: str, model: str, pictures: Path, output: Path, scale: float) -> BulkTime:
    """Run one of `WAYS` over the pictures and time it. Raises `HeadsUpError` when it fails."""
    command = [sys.executable, "-m", "headsup_core", "upscale", str(pictures), "--output", str(output), "--json"]
    command += ["--model", model, "--no-faces", "--quiet", "--scale", f"{scale:g}", *WAYS[way]]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": str(Path(__file__).parents[3])}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    watched, told, early, late = psutil.Process(process.pid), list[float](), 0, 0
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    for _ in process.stdout:
        told.append(time.perf_counter())
        if len(told) == EARLY:
            early = watched.memory_info().rss
        elif len(told) > EARLY:
            late = watched.memory_info().rss
    if process.wait() or len(told) < 2:
        raise HeadsUpError(f"{way}: the command ended with status {process.returncode}")
    seconds, idle, rate = time.perf_counter() - started, None, (len(told) - 1) / max(told[-1] - told[0], 1e-9)
    if (output / REPORT).exists():
        report: dict[str, Any] = json.loads((output / REPORT).read_text())
        rate, idle = report["pictures_per_second"], report["idle_share"]
    return BulkTime(way, rate, seconds, idle, early, late)


def bulk_table(times: Sequence[BulkTime], pictures: int, side: int, scale: float = 1.0) -> str:
    """A table of every run in its order, and the ratios in words, of the medians of the ways' runs."""
    rows = [
        [
            one.way,
            f"{one.rate:.3f}",
            f"{one.seconds:.1f}",
            "" if one.idle is None else f"{100 * one.idle:.1f} %",
            f"{one.early / 2**20:.0f}" if one.early else "",
            f"{one.late / 2**20:.0f}" if one.late else "",
        ]
        for one in times
    ]
    headings = ["way", "pictures/s", "seconds", "idle", f"MiB after {EARLY}", "MiB at the end"]
    said = f"{pictures} pictures of {side} px, x{scale:g}, {THREADS} thread a worker, {os.cpu_count()} cores."
    lines = [said, "", f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    rates = {way: [one.rate for one in times if one.way == way] for way in dict.fromkeys(one.way for one in times)}
    middle = {way: statistics.median(each) for way, each in rates.items()}
    plain, one, two = (middle.get(way) for way in ("plain loop", "ray, 1 worker", "ray, 2 workers"))
    if one and two:
        lines += ["", f"2 workers against 1: {two / one:.2f} times (aim: at least 1.7 on 2 free cores)."]
    if plain and one:
        lines += ["", f"The engine costs {100 * (plain / one - 1):.1f} % at one worker (aim: at most 10)."]
    for way, each in rates.items():
        if len(each) > 1:
            lines += ["", f"{way}: its runs differ by {100 * (max(each) / min(each) - 1):.1f} % from each other."]
    idle = [one.idle for one in times if one.idle is not None]
    if idle:
        lines += ["", f"Idle: at most {100 * max(idle):.1f} % (aim: below 5)."]
    for each in times:
        if each.early and each.late:
            lines += ["", f"{each.way}: memory {100 * (each.late / each.early - 1):+.1f} % after {EARLY} pictures."]
    return "\n".join(lines) + "\n"
