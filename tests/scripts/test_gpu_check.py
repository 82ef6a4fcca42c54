"""`scripts/gpu_check` on the CPU: what it measures, writes and says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import gpu_check
from support.gpu import checks
from support.gpu.trial import FAILED, Outcome, picture

ASKED = ("--device", "cpu", "--models", "headsup-tiny", "--runs", "1")


def run(folder: Path, *more: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit status, and the outcomes by check."""
    status = gpu_check.main([*ASKED, "--sides", "256", "--dtypes", "float32", "--output", str(folder), *more])
    found: dict[str, list[dict[str, Any]]] = {}
    for outcome in json.loads((folder / "gpu_check.json").read_text())["outcomes"]:
        found.setdefault(outcome["check"], []).append(outcome)
    return status, found


def test_it_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(tmp_path)
    assert status == 0
    assert list(found) == ["correctness", "throughput", "memory", "recovery", "faster"]
    (correct,), (speed,), (memory,), (recovered,) = (found[name] for name in list(found)[:4])
    assert correct["verdict"] == recovered["verdict"] == "ok"
    assert correct["figures"]["mean levels"] == 0
    assert speed["figures"]["pictures/s"] == pytest.approx(1 / speed["figures"]["seconds"])
    assert memory["figures"]["planned MB"] > 1
    assert recovered["figures"]["mean levels"] == 0
    assert 256 > recovered["figures"]["tile after"] < recovered["figures"]["tile"] >= 256
    ways = {outcome["setting"].split(", ")[-1]: outcome["verdict"] for outcome in found["faster"]}
    assert ways == {"channels_last": "measured", "torch.compile": "left out"}
    table = (tmp_path / "gpu_check.md").read_text()
    assert all(f"## {name}" in table for name in found)
    assert "256 px, float32" in table
    assert str(tmp_path / "gpu_check.json") in capsys.readouterr().out


def test_wrong_pictures_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that computes something else: here what is asked of the host of the trial, and not of the plain one."""
    restored = checks.restored

    def wrong(model: Any, host: Any, side: int, **options: int) -> Any:
        result = restored(model, host, side, **options)
        shown.append(host)
        return result if host is shown[0] else replace(result, image=(result.image + 0.02).clamp(0, 1))

    def only(trial: Any, *, compiling: bool) -> Any:
        del compiling
        return checks.correctness(trial)

    shown: list[Any] = []
    monkeypatch.setattr(checks, "restored", wrong)
    monkeypatch.setattr(gpu_check, "run_all", only)
    status, found = run(tmp_path)
    assert status == 1
    (outcome,) = found["correctness"]
    assert outcome["verdict"] == "FAILED"
    assert outcome["figures"]["mean levels"] == pytest.approx(0.02 * 255, rel=0.1)


def test_a_check_that_breaks_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trial: Any) -> Any:
        raise RuntimeError("no kernel image\nmore lines")

    def nothing(*_: Any, **__: Any) -> list[Outcome]:
        return []

    for name in ("correctness", "memory", "recovery", "faster"):
        monkeypatch.setattr(checks, name, nothing)
    monkeypatch.setattr(checks, "throughput", broken)
    args = gpu_check._parser().parse_args(ASKED)
    (trial,) = gpu_check._trials(args, gpu_check.hu.PlainHost("cpu", quiet=True))
    (outcome,) = checks.run_all(trial, compiling=False)
    assert (outcome.check, outcome.verdict, outcome.why) == ("throughput", FAILED, "RuntimeError: no kernel image")


@pytest.mark.parametrize(
    "wrong", [("--dtypes", "int8"), ("--sides", "16"), ("--adapter", "x.pkl"), ("--device", "toaster")]
)
def test_wrong_use(wrong: tuple[str, str], tmp_path: Path) -> None:
    assert gpu_check.main([*ASKED, *wrong, "--output", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_the_picture_is_the_same_everywhere() -> None:
    made = picture(64)
    assert made.shape == (1, 3, 64, 64)
    assert 0 <= float(made.min()) < float(made.max()) <= 1
    assert float(made.mean()) == pytest.approx(0.564, abs=0.005)
