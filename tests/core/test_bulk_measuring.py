"""What a bulk run says of its speed: rates, idle time and ratios, against numbers worked out by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headsup_core.bulk.blocks import Block, BlockWork, MakeWorker, Result
from headsup_core.bulk.bulk_run import run_bulk
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine
from headsup_core.bulk.items import Item
from headsup_core.commands.benchmarks.bulk_command import BulkTime, bulk_table, in_turns


class _Told(Engine):
    """An engine that only tells what was made up."""

    results: Sequence[Result] = ()

    def run(self, items: Sequence[Item], make_worker: MakeWorker, block: Block) -> Iterator[Result]:
        yield from self.results


def test_rate_and_idle_time_are_those_of_the_workers_clocks(tmp_path: Path) -> None:
    """Two workers from second 1000 to 1010 and 1002 to 1010, which compute for 15 s of their 18."""
    engine = _Told()
    times = [
        ("a", 1000.0, 1006.0, 5.0),
        ("b", 1002.0, 1006.0, 4.0),
        ("b", 1005.0, 1010.0, 3.0),
        ("a", 1005.5, 1010.0, 3.0),
    ]
    results = [
        Result(Item(str(index)), "done", seconds=busy, worker=worker, began=begin, ended=end)
        for index, (worker, begin, end, busy) in enumerate(times)
    ]
    object.__setattr__(engine, "results", [*results, Result(Item("x"), "failed", "x: given up")])
    run_bulk([Item("")] * 5, lambda: pytest.fail("no worker is wanted"), engine, Destination(str(tmp_path)), quiet=True)
    report = json.loads((tmp_path / "bulk_report.json").read_text())
    assert report["working_seconds"] == pytest.approx(10.0)
    assert report["pictures_per_second"] == pytest.approx(5 / 10.0)
    assert report["idle_share"] == pytest.approx(1 - 15 / 18, abs=1e-3)
    assert report["workers"] == 2


class _Sleeper:
    """Reads and writes for a while beside computing for longer."""

    def read(self, item: Item) -> str:
        time.sleep(0.02)
        return item.address

    def work(self, item: Item, read: str) -> str:
        time.sleep(0.06)
        return read

    def write(self, item: Item, worked: str) -> dict[str, Any]:
        time.sleep(0.02)
        return {}


def test_reading_and_writing_go_on_beside_computing() -> None:
    """One after the other ten pictures would take 1 s, overlapped 0.64 s."""
    started = time.perf_counter()
    results = BlockWork(_Sleeper(), Block("", ""))([Item(str(index)) for index in range(10)])
    assert time.perf_counter() - started < 0.9
    assert len({result.worker for result in results}) == 1
    assert all(result.ended - result.began >= 0.1 for result in results)
    assert all(0.06 <= result.seconds < 0.1 for result in results)


def test_ways_take_turns() -> None:
    assert in_turns("abc", 3) == list("abccbaabc")


def test_ratios_are_those_of_the_medians() -> None:
    def time_of(way: str, rate: float, idle: float | None = 0.01) -> BulkTime:
        return BulkTime(way, rate, 100.0, idle, 100 << 20, 103 << 20)

    times = [
        time_of("plain loop", 2.0, None), time_of("ray, 1 worker", 1.6), time_of("ray, 2 workers", 3.4, 0.04),
        time_of("ray, 2 workers", 3.8), time_of("ray, 1 worker", 2.4), time_of("plain loop", 2.2, None),
    ]  # fmt: skip
    text = bulk_table(times, 200, 256)
    for number in ("1.80 times", " 5.0 % at one", "50.0 %", "4.0 %", "+3.0 %"):  # 3.6 / 2.0, 2.1 / 2.0, 2.4 / 1.6
        assert number in text
