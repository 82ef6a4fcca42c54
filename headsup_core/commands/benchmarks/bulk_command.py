"""`benchmark bulk`: engines against the plain loop, two workers against one, and whether memory grows, as ratios."""

from __future__ import annotations

import argparse
import json
import os
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
from ...errors import HeadsUpError
from .shared_arguments import Subcommands, add_subcommand, finish

EARLY = 100
"""Pictures after which memory is looked at first."""
WAYS = {
    "plain loop": ["--engine", "plain"],
    "local engine": ["--engine", "local"],
    "ray, 1 worker": ["--engine", "ray", "--workers", "1", "--cpus-per-worker", "1"],
    "ray, 2 workers": ["--engine", "ray", "--workers", "2", "--cpus-per-worker", "1"],
}


@dataclass(frozen=True)
class BulkTime:
    """One way to restore the same pictures, each in a process of its own with one thread a worker.

    Attributes:
        rate: pictures a second from the first that are told of to the last: starting is not counted.
        seconds: of the whole command.
        idle: share of the workers' time that went into waiting for reading and writing; None in the plain loop.
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


def _bulk(args: argparse.Namespace) -> int:
    if any(way.startswith("ray") for way in args.ways):
        need_ray()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "in"
        make_pictures(pictures, args.pictures, args.side)
        times = [time_way(way, args.model, pictures, Path(folder) / way, args.scale) for way in args.ways]
    return finish(args.output, "bulk.md", bulk_table(times, args.pictures, args.side))


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
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
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
    report: dict[str, Any] = json.loads((output / REPORT).read_text()) if (output / REPORT).exists() else {}
    return BulkTime(way, steady_rate(told), time.perf_counter() - started, report.get("idle_share"), early, late)


def steady_rate(told: Sequence[float]) -> float:
    """Pictures a second after the first were told of; those told of together with the first are not counted."""
    first = told[0]
    together = sum(moment - first < 0.5 * (told[-1] - first) / len(told) for moment in told)
    return (len(told) - together) / max(told[-1] - first, 1e-9)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]


def bulk_table(times: Sequence[BulkTime], pictures: int, side: int) -> str:
    """A table, with the ratios in words."""
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
    by_way = {one.way: one for one in times}
    said = f"{pictures} pictures of {side} px, one thread a worker, {os.cpu_count()} cores."
    lines = [said, "", *_table(headings, rows)]
    plain, one, two = (by_way.get(way) for way in ("plain loop", "ray, 1 worker", "ray, 2 workers"))
    if one and two:
        lines += ["", f"2 workers against 1: {two.rate / one.rate:.2f} times (aim: at least 1.7 on 2 free cores)."]
    if plain and one:
        lines += ["", f"The engine costs {100 * (plain.rate / one.rate - 1):.1f} % at one worker (aim: at most 10)."]
    for each in times:
        if each.early and each.late:
            lines += ["", f"{each.way}: memory {100 * (each.late / each.early - 1):+.1f} % after {EARLY} pictures."]
    return "\n".join(lines) + "\n"
