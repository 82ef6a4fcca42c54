"""`upscale --reference` and `--identity`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, paint, person
from harness.records import with_record

from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.identity import save_identity
from headsup_core.identity.equal_quality.photo_score import ASSUMED, WEIGHTS, Weights
from headsup_core.image_files import write_picture
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel

FACE = face_at(24, 24, 14)


@pytest.fixture
def command(
    toy_model: OneStepModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """An upscale of a picture with a red face; the analyzer tells colours apart."""
    monkeypatch.setattr("headsup_core.commands.upscaling.prepared.make_analyzer", lambda *_: ColourAnalyzer([FACE]))
    save_headsup(tmp_path / "toy.safetensors", with_record(toy_model, reference_placement="warped"))
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
    assert line.startswith("face 0: Ada (score 1.00, 1 = two good photos)")
    assert "conditioned by reference (photo 1 of 2, the best one" in line


def test_threshold_and_strength(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two people may be it, and nobody is alike."""
    people = [str(photo(tmp_path / "Grace.png", GREEN)), str(photo(tmp_path / "Joan.png", (0.0, 0.2, 1.0)))]

    assert main([*command, "--reference", *people, "--match-threshold", "-0.5", "--identity-strength", "0"]) == 0
    weak = json.loads(capsys.readouterr().out)
    assert main([*command, "--reference", *people]) == 0
    strict = json.loads(capsys.readouterr().out)

    assert weak["faces"][0].startswith(("face 0: Grace", "face 0: Joan"))
    assert "identity strength 0" in " ".join(weak["notes"])
    assert strict["faces"][0].startswith("face 0: nobody, most like ")


def test_whose_a_face_is_can_be_said(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The only face is the only person's; of two it is the one who is named; a face that is not there is said."""
    people = [str(photo(tmp_path / "Grace.png", GREEN)), str(photo(tmp_path / "Joan.png", BLUE))]

    assert main([*command, "--reference", people[0]]) == 0
    (only,) = json.loads(capsys.readouterr().out)["faces"]
    assert main([*command, "--reference", *people, "--person", "0=Joan", "--person", "3=Grace"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main([*command, "--person", "0=Joan"]) == 2

    assert only.startswith("face 0: Grace (score 0.00, 1 = two good photos), the only face and the only person")
    assert said["faces"][0].startswith("face 0: Joan (score 0.00, 1 = two good photos) as given")
    assert len(said["sent_back"]) == 1
    assert "face 3 was to be Grace, but 1 face was found, counted from 0" in said["notes"]
    assert "--person without --reference or --identity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("0=Anna", "nobody is called 'Anna'; known: Grace, Joan"),
        ("0=joan", "nobody is called 'joan'; did you mean Joan? Known: Grace, Joan"),
        ("Joan", "write index=name"),
    ],
)
def test_a_wrong_person_is_said_once_before_any_picture_is_looked_at(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], told: str, said: str
) -> None:
    people = [str(photo(tmp_path / f"{name}.png", BLUE)) for name in ("Grace", "Joan")]
    second = photo(tmp_path / "second.png", RED)

    assert main(["upscale", str(second), *command[1:], "--reference", *people, "--person", told]) == 2

    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert "--person: override" in output.err
    assert said in output.err
    assert not output.out, "no picture failed, none was begun"


def test_a_face_that_could_be_two_people_has_the_number_that_person_takes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast("dict[str, Weights]", WEIGHTS), "colour", ASSUMED)
    twins = ["--reference", *(str(photo(tmp_path / f"{name}.png", RED)) for name in ("Ada", "Zoe"))]

    assert main([*command, *twins]) == 0
    torn = json.loads(capsys.readouterr().out)
    (note,) = (note for note in torn["notes"] if "could be" in note)
    number = note.split()[1]
    assert main([*command, *twins, "--person", f"{number}=Zoe"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert torn["faces"][0].startswith(f"face {number}: too close to tell")
    assert told["faces"][0].startswith(f"face {number}: Zoe")


def test_a_guess_at_a_tiny_face_is_called_one_until_it_is_said_whose_it_is(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ["--reference", *(str(photo(tmp_path / f"{name}.png", of)) for name, of in (("Ada", RED), ("Joan", BLUE)))]

    def notes(*arguments: str) -> str:
        assert main([*command, *people, *arguments]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["faces"][0].startswith("face 0: Ada")
        return " ".join(record["notes"])

    large = notes()
    tiny = ColourAnalyzer([face_at(24, 24, 7)])
    monkeypatch.setattr("headsup_core.commands.upscaling.prepared.make_analyzer", lambda *_: tiny)

    assert "guessed" not in large
    assert "face 0: whose it is was guessed" in notes()
    assert "guessed" not in notes("--person", "0=Ada")


def test_a_face_whose_photo_the_gate_refuses_is_not_called_conditioned(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = ["--reference", str(photo(tmp_path / "Grace.png", GREEN))]

    assert main([*command, *people]) == 0
    refused = json.loads(capsys.readouterr().out)
    assert main([*command, *people, "--identity-gate", "report"]) == 0
    reported = json.loads(capsys.readouterr().out)

    assert "restored without the reference" in refused["gate"][0]
    assert refused["faces"][0].endswith(", not conditioned")
    assert "restored with the reference" in reported["gate"][0]
    assert reported["faces"][0].endswith(", conditioned by reference")


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
    assert on["gate"][0].startswith("face 0: Ada, identity 1.00 -> 1.00")
    assert off["identity_scores"] == off["gate"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--identity-strength", "2"], "identity strength 2.0: must be between 0"),
        (["--match-threshold", "7"], "match threshold 7.0: must be between -1"),
        (["--identity", "missing.safetensors"], "missing.safetensors"),
        (["--reference", "missing.png"], "missing.png"),
        (["--reference", "Ada.safetensors"], "--identity"),
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


def test_faces_are_looked_for_without_people(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def notes(*options: str) -> list[str]:
        assert main([*command, *options]) == 0
        return json.loads(capsys.readouterr().out)["notes"]

    analyzer = ColourAnalyzer([FACE])
    monkeypatch.setattr("headsup_core.commands.identifying.analyzing.make_analyzer", lambda *_: analyzer)
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

    monkeypatch.setattr("headsup_core.commands.identifying.analyzing.make_analyzer", missing)
    assert main(command) == 0
    assert "no faces are looked for: dlib cannot be imported" in caplog.text
    assert main([*command, "--analyzer", "opencv"]) == 2
