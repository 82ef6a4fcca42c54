"""`upscale --reference` and `--identity`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, paint, person

from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.identity import load_identity, save_identity
from headsup_core.image_files import read_picture, write_picture
from headsup_core.models.architecture import Architecture
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.loading import load_model
from headsup_core.models.one_step import OneStepModel
from headsup_core.personalize.one_step import OneStepTask

FACE = face_at(24, 24, 14)


@pytest.fixture
def command(
    toy_model: OneStepModel, architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """An upscale of a picture with a red face; the analyzer tells colours apart."""
    monkeypatch.setattr("headsup_core.commands.upscale.make_analyzer", lambda *_: ColourAnalyzer([FACE]))
    warped = replace(architecture, reference_placement="warped")
    save_headsup(tmp_path / "toy.safetensors", replace(toy_model, reference_placement="warped"), warped)
    source = photo(tmp_path / "in.png", RED)
    arguments = ["upscale", str(source), "--output", str(tmp_path / "out"), "--scale", "1", "--quiet", "--json"]
    return [*arguments, "--model", str(tmp_path / "toy.safetensors")]


def photo(path: Path, colour: tuple[float, float, float]) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_picture(path, paint(torch.full((1, 3, 48, 48), 0.5), FACE, colour), None)
    return path


def test_photos_folders_and_files_are_people(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "Ada" / "1.png", RED)
    photo(tmp_path / "Ada" / "2.png", RED)
    grace = photo(tmp_path / "Grace.png", GREEN)
    saved = save_identity(tmp_path, person("Joan", BLUE))

    assert main([*command, "--reference", str(tmp_path / "Ada"), str(grace), "--identity", str(saved)]) == 0

    record = json.loads(capsys.readouterr().out)
    (line,) = record["faces"]
    assert line.startswith("face 0: Ada (score 1.5")
    assert line.endswith("conditioned by reference")


def test_threshold_and_strength(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grace = photo(tmp_path / "Grace.png", GREEN)

    assert main([*command, "--reference", str(grace), "--match-threshold", "-0.5", "--identity-strength", "0"]) == 0
    weak = json.loads(capsys.readouterr().out)
    assert main([*command, "--reference", str(grace)]) == 0
    strict = json.loads(capsys.readouterr().out)

    assert weak["faces"][0].startswith("face 0: Grace")
    assert "identity strength 0" in " ".join(weak["notes"])
    assert strict["faces"][0].startswith("face 0: nobody, most like Grace")


def test_scores_are_in_the_json(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ada = photo(tmp_path / "Ada.png", RED)

    assert main([*command, "--reference", str(ada)]) == 0
    on = json.loads(capsys.readouterr().out)
    assert main([*command, "--reference", str(ada), "--identity-gate", "off"]) == 0
    off = json.loads(capsys.readouterr().out)

    (score,) = on["identity_scores"]
    assert (score["face"], score["identity"]) == (0, "Ada")
    assert score["before"] > 1.4
    assert score["after"] is not None
    assert on["gate"][0].startswith(f"face 0: Ada, identity {score['before']:.2f} -> {score['after']:.2f}")
    assert off["identity_scores"] == off["gate"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--identity-strength", "2"], "identity strength 2.0: must be between 0"),
        (["--match-threshold", "7"], "match threshold 7.0: must be between -1"),
        (["--identity", "missing.safetensors"], "missing.safetensors"),
        (["--reference", "missing.png"], "missing.png"),
    ],
)
def test_wrong_use_is_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    grace = photo(tmp_path / "Grace.png", GREEN)
    people = [] if arguments[0] == "--reference" else ["--reference", str(grace)]

    assert main([*command, *people, *arguments]) == 2

    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def fitting_command(architecture: Architecture, model: OneStepModel, folder: Path, *arguments: str) -> list[str]:
    save_headsup(folder / "toy.safetensors", model, architecture)
    photos = [str(photo(folder / f"{number}.png", RED)) for number in (1, 2)]
    options = ["--name", "Ada", "--model", str(folder / "toy.safetensors"), "--output", str(folder / "people")]
    small = ["--steps", "3", "--batch", "1", "--device", "cpu", "--quiet"]
    return ["identity", "fit", *photos, *options, *small, *arguments]


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headsup_core.commands.fitting.make_analyzer", lambda *_: ColourAnalyzer([FACE]))


@pytest.mark.usefixtures("colours")
def test_photos_are_fitted_to_a_model(
    toy_model: OneStepModel, architecture: Architecture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = tmp_path / "curve.png"
    command = fitting_command(architecture, toy_model, tmp_path, "--json", "--curve", str(curve))
    assert main([*command, "--learning-rate", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["name"] == "Ada"
    assert record["steps"] == len(record["losses"]) == 3
    assert [step for step, _ in record["held_out"]] == [0, 3]
    assert record["model_id"] == load_model(tmp_path / "toy.safetensors").one_step.model_id
    saved = load_identity(Path(record["identity"]))
    assert len(saved.crops) == 2
    assert bool(saved.fitted) == (record["best_step"] > 0)
    assert read_picture(curve).rgb.shape == (1, 3, 360, 640)

    again = ["identity", "fit", record["identity"], *command[6:]]  # without photos and name
    assert main(again) == 0
    assert len(json.loads(capsys.readouterr().out)["losses"]) == 3


@pytest.mark.usefixtures("colours")
def test_an_interrupted_fitting_goes_on(
    toy_model: OneStepModel,
    architecture: Architecture,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = fitting_command(architecture, toy_model, tmp_path, "--json")
    assert main(command) == 0
    whole = json.loads(capsys.readouterr().out)
    loss, calls = OneStepTask.loss, []

    def interrupted(task: OneStepTask, step: int) -> torch.Tensor:
        calls.append(step)
        if step == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return loss(task, step)

    monkeypatch.setattr(OneStepTask, "loss", interrupted)
    assert main(command) == 130
    assert "the same command goes on from" in capsys.readouterr().err
    assert (tmp_path / "people" / "Ada.fitting").exists()
    assert main(command) == 0
    assert calls == [0, 1, 2, 2]
    assert json.loads(capsys.readouterr().out)["losses"] == whole["losses"]
    assert not (tmp_path / "people" / "Ada.fitting").exists()


@pytest.mark.usefixtures("colours")
def test_fit_names_wrong_use(
    toy_model: OneStepModel, architecture: Architecture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = fitting_command(architecture, toy_model, tmp_path)
    ada = save_identity(tmp_path, person("Ada", RED))
    assert main([*command, "--model", "nothing-of-the-kind"]) == 2
    assert "not found" in capsys.readouterr().err
    assert main([*command[:2], str(ada), *command[4:]]) == 2
    assert "give it alone, without --name" in capsys.readouterr().err


def test_faces_are_looked_for_without_people(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def notes(*options: str) -> list[str]:
        assert main([*command, *options]) == 0
        return json.loads(capsys.readouterr().out)["notes"]

    analyzer = ColourAnalyzer([FACE])
    monkeypatch.setattr("headsup_core.commands.analyzing.make_analyzer", lambda *_: analyzer)
    assert "tiles planned around 1 face" in notes()
    assert not notes("--no-faces")
    assert analyzer.looked == 1
    assert main([*command, "--no-faces", "--reference", str(photo(tmp_path / "Ada.png", RED))]) == 2
    assert "--no-faces with --reference or --identity" in capsys.readouterr().err


def test_a_missing_default_analyzer_is_said_and_one_that_was_chosen_is_an_error(
    command: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object) -> None:
        raise InputError("dlib cannot be imported")

    monkeypatch.setattr("headsup_core.commands.analyzing.make_analyzer", missing)
    assert main(command) == 0
    assert "no faces are looked for: dlib cannot be imported" in caplog.text
    assert main([*command, "--analyzer", "opencv"]) == 2
