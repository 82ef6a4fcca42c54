"""`scripts/gpu_check` on the CPU: what it measures, writes and says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import gpu_check
from support.gpu import checks
from support.gpu.trial import FAILED, Outcome, picture

from headsup_core.models.one_step import OneStepModel

ASKED = ("--device", "cpu", "--models", "headsup-tiny", "--runs", "1")


def run(folder: Path, *more: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit status, and the outcomes by check."""
    status = gpu_check.main([*ASKED, "--sides", "128", "--dtypes", "bfloat16", "--output", str(folder), *more])
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
    assert 0 < correct["figures"]["mean levels"] < 2
    assert speed["figures"]["pictures/s"] == pytest.approx(1 / speed["figures"]["seconds"])
    assert memory["figures"]["planned MB"] > 1
    assert recovered["figures"]["tile after"] < recovered["figures"]["tile"] == 128
    ways = {outcome["setting"].split(", ")[-1]: outcome["verdict"] for outcome in found["faster"]}
    assert ways == {"channels_last": "measured", "torch.compile": "left out"}
    table = (tmp_path / "gpu_check.md").read_text()
    assert all(f"## {name}" in table for name in found)
    assert "128 px, bfloat16" in table
    assert str(tmp_path / "gpu_check.json") in capsys.readouterr().out


def test_wrong_pictures_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that computes something else in half precision."""
    denoise = OneStepModel.denoise

    def wrong(model: OneStepModel, latent: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        made = denoise(model, latent, *rest, **more)
        return made if model.dtype == torch.float32 else made + 0.2

    def only(trial: Any, *, compiling: bool) -> Any:
        del compiling
        return checks.correctness(trial)

    monkeypatch.setattr(OneStepModel, "denoise", wrong)
    monkeypatch.setattr(gpu_check, "run_all", only)
    status, found = run(tmp_path)
    assert status == 1
    assert [outcome["verdict"] for outcome in found["correctness"]] == ["FAILED"]


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
