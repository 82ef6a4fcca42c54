"""Time and memory: what the programs measure in processes of their own, and the tables made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.benchmark.measuring import codec_ways, fresh_processes, performance, system_costs
from headsup_core.errors import HeadsUpError
from headsup_core.host import PlainHost
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel


@pytest.fixture
def toy_file(toy_model: OneStepModel, tmp_path: Path) -> Path:
    save_headsup(tmp_path / "toy.safetensors", toy_model)
    return tmp_path / "toy.safetensors"


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_systems_are_measured_in_processes_of_their_own(toy_file: Path) -> None:
    table = system_costs.usage_table(["bicubic", f"{toy_file}+reference", str(toy_file)], PlainHost("cpu"), 64)
    rows = _rows(table)
    assert [row[0] for row in rows] == ["bicubic", "toy.safetensors"]  # with a photo it costs as much as without
    assert all(float(row[2]) > 50 for row in rows), "a process with torch takes more than 50 MB"


def test_a_program_that_fails_says_why() -> None:
    with raises_naming(HeadsUpError, "nosuchmodel"):
        fresh_processes.run_program("measure_system", "nosuchmodel", "64")


def test_ratios_are_those_of_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 9.0, 2.0, 4.0, 6.0, 5.0])

    def measured(name: str, *arguments: str) -> dict[str, float]:
        assert name == "measure_system"
        return {"seconds": next(taken), "peak": 3e8 if arguments[0] == "b" else 2e8, "bare": 1e8}

    monkeypatch.setattr(system_costs, "run_program", measured)
    a, b = _rows(system_costs.cost_table(["a", "b"], side=64, runs=3))
    # in turn: a had 1, 2 and 6 s, b had 9, 4 and 5 s
    assert a == ["a", "2.00", "1.00", "200", "100"]
    assert b == ["b", "5.00", "2.50", "300", "100"]


def test_growth_and_ratios_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(setting: performance.Setting, runs: int, save: str = "") -> performance.Usage:
        del runs, save
        return performance.Usage(setting.side / 512, setting.side**2 * (4 if setting.tile == 8192 else 2), 1.0)

    monkeypatch.setattr(performance, "measure", measured)
    small, large = _rows(performance.size_table("m", [512, 1024]))
    assert small[0] == "512x512"
    assert small[3] == "2"
    assert large[4].startswith("4.00 times at 4 times")
    ratios = {(row[0], row[1]): row for row in _rows(performance.ratio_table("m"))}
    assert ratios["1024 px, tile 512", "1024 px, one tile"][5] == "0.50"
    assert ratios["1024 px, one tile", "512 px, one tile"][3] == "2.00"


def test_overlaps_are_compared_with_one_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(setting: performance.Setting, runs: int, save: str = "") -> performance.Usage:
        del runs
        shade = 0.5 if setting.overlap is None else 0.5 + 1 / 255
        torch.save(torch.full((1, 3, 8, 8), shade), save)
        return performance.Usage(2.0, 10**7, 1.25)

    monkeypatch.setattr(performance, "measure", measured)
    [row] = _rows(performance.overlap_table("m", 64, 32, (16,)))
    assert row[:4] == ["16", "1.25", "2.0", "10"]
    assert row[5] == "1.0"


def test_ways_of_the_codec_are_compared_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, way: str, height: str, width: str, file: str) -> dict[str, Any]:
        assert name == "measure_codec"
        torch.save(torch.full((1, 3, 4, 4), 0.5 if way != "tiles" else 0.6), file)
        return {"seconds": 1.0 if way == "whole" else 3.0, "bytes": 10**8 if way == "whole" else 5 * 10**7}

    monkeypatch.setattr(codec_ways, "run_program", measured)
    whole, exact, tiles = _rows(codec_ways.codec_table([], odd=(96, 64)))
    assert whole[:4] == ["64x96", "whole", "1.0", "1.00"]
    assert exact[3:] == ["3.00", "50", "0.50", "0.000 of 255"]
    assert tiles[6] == "25.500 of 255"
