"""`identity fit`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.faces import face_at
from harness.idfsr import SMALL, write_idfsr
from harness.people_stubs import RED, ColourAnalyzer, paint, person

from headsup_core.cli import main
from headsup_core.identity import load_identity, save_identity
from headsup_core.idfsr.identity_fitting.fitting_task import IDFSRTask
from headsup_core.idfsr.idfsr_file import load_idfsr
from headsup_core.image_files import read_picture, write_picture

FACE = face_at(24, 24, 14)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three photos of Ada, of which one is held out; the analyzer tells colours apart."""
    monkeypatch.setattr("headsup_core.commands.identifying.fitting.make_analyzer", lambda *_: ColourAnalyzer([FACE]))
    write_idfsr(tmp_path / "small.safetensors", replace(SMALL, size=16, embedding=3, embedder="colour"))
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", paint(torch.full((1, 3, 48, 48), 0.5), FACE, RED), None)
    photos = [str(tmp_path / f"{number}.png") for number in range(3)]
    options = ["--name", "Ada", "--model", str(tmp_path / "small.safetensors"), "--output", str(tmp_path / "people")]
    return ["identity", "fit", *photos, *options, "--steps", "3", "--batch", "1", "--device", "cpu", "--quiet"]


def test_photos_are_fitted_to_a_model(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = tmp_path / "curve.png"
    assert main([*command, "--json", "--curve", str(curve), "--learning-rate", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["name"] == "Ada"
    assert record["steps"] == len(record["losses"]) == 3
    assert [step for step, _ in record["held_out"]] == [0, 3]
    assert record["model_id"] == load_idfsr(tmp_path / "small.safetensors").model_id
    saved = load_identity(Path(record["identity"]))
    assert len(saved.crops) == 3
    assert list(saved.fitted) == [record["model_id"]]
    assert read_picture(curve).rgb.shape == (1, 3, 360, 640)

    again = ["identity", "fit", record["identity"], *command[7:], "--json"]  # without photos and name
    assert main(again) == 0
    assert len(json.loads(capsys.readouterr().out)["losses"]) == 3


def test_an_interrupted_fitting_goes_on(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*command, "--json"]
    assert main(command) == 0
    whole = json.loads(capsys.readouterr().out)
    loss, calls = IDFSRTask.loss, []

    def interrupted(task: IDFSRTask, step: int) -> torch.Tensor:
        calls.append(step)
        if step == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return loss(task, step)

    monkeypatch.setattr(IDFSRTask, "loss", interrupted)
    assert main(command) == 130
    assert "the same command goes on from" in capsys.readouterr().err
    assert (tmp_path / "people" / "Ada.fitting").exists()
    assert main(command) == 0
    assert calls == [0, 1, 2, 2]
    assert json.loads(capsys.readouterr().out)["losses"] == whole["losses"]
    assert not (tmp_path / "people" / "Ada.fitting").exists()


def test_wrong_use_is_one_line(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ada = save_identity(tmp_path, person("Ada", RED))
    assert main([*command, "--model", "nothing-of-the-kind"]) == 2
    assert "bundled: idfsr-tiny" in capsys.readouterr().err
    assert main([*command[:2], str(ada), *command[5:]]) == 2
    assert "give it alone, without --name" in capsys.readouterr().err
