from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from harness.osdface import osdface_files, shrink
from harness.refusals import raises_naming
from harness.systems import base_folder
from PIL import Image

from headsup_core.cli import main
from headsup_core.commands.hosting import read_extra_model_paths
from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces import Face, Faces
from headsup_core.faces.alignment import template
from headsup_core.host import PlainHost
from headsup_core.image_files import read_picture
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.file_formats.weights_files import read_weights
from headsup_core.models.loading import find_base
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.plan.calibration import cache_folder, read_calibration


@pytest.fixture
def model(toy_model: OneStepModel, tmp_path: Path) -> str:
    path = tmp_path / "models" / "headsup" / "toy.safetensors"
    path.parent.mkdir(parents=True)
    save_headsup(path, toy_model)
    return str(path)


def _save(path: Path, size: tuple[int, int] = (12, 9), mode: str = "RGB") -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.effect_noise(size, 60).convert(mode).save(path)
    return path


def test_good_pictures_are_done_and_bad_ones_named(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    _save(folder / "a.png")
    _save(folder / "b.png", (1, 1), "L")
    _save(folder / "d.png", mode="RGBA")
    (folder / "c.jpg").write_bytes(b"")
    cut = _save(folder / "e.png", (60, 60)).read_bytes()
    (folder / "e.png").write_bytes(cut[: len(cut) // 2])
    output = tmp_path / "out"
    assert main(["upscale", str(folder), "--output", str(output), "--model", model, "--quiet"]) == 2
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png", "d.png"]
    assert read_picture(output / "a.png").rgb.shape == (1, 3, 36, 48)
    assert read_picture(output / "b.png").rgb.shape == (1, 3, 4, 4)
    assert read_picture(output / "d.png").alpha is not None
    errors = capsys.readouterr().err
    assert errors.startswith("headsup_core upscale: 2 of 5 pictures failed:")
    assert "c.jpg" in errors
    assert "e.png" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "0"], "scale 0"),
        (["--tile", "64", "--overlap", "64"], "tile 64 with overlap 64: overlap must be below the tile size"),
        (["--device", "warp"], "device 'warp' is not a torch device"),
        (["--dtype", "int8"], "dtype 'int8' is unknown"),
        (["--model", "missing.safetensors"], "looked in no folder"),
        (["--models-dir", "missing"], "--models-dir missing is not a folder"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    import re

    picture = _save(tmp_path / "in" / "a.png")
    output = tmp_path / "out"
    given = ["--model", model, *arguments] if "--model" not in arguments else arguments
    assert main(["upscale", str(picture), "--output", str(output), "--quiet", *given]) == 2
    errors = capsys.readouterr().err.strip()
    assert re.search(message, errors)
    assert "Traceback" not in errors
    assert not output.exists() or not list(output.iterdir())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("upscale a.png --ouput out", ["--ouput", "--output"]),
        ("upscale a.png --output out --Scale 4", ["--Scale", "--scale"]),
        ("upscale a.png --output out --nothing-like-it", ["--nothing-like-it"]),
        ("upscale a.png", ["--output"]),
        ("upscale a.png --output out --scale 4x", ["--scale", "4x"]),
        ("identity encode a.png --nme Ada --output out", ["identity encode", "--nme", "--name"]),
        ("upscal a.png", ["upscal", "upscale"]),
    ],
)
def test_mistyped_arguments_are_one_line_that_names_what_was_meant(
    capsys: pytest.CaptureFixture[str], arguments: str, named: list[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments.split())
    assert raised.value.code == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert [name for name in named if name not in errors] == []


def test_options_may_be_shortened_and_values_begin_with_dashes(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, output = _save(tmp_path / "in" / "--a.png"), tmp_path / "out"
    given = ["--outp", str(output), "--model", model, "--prompt", "--a face", "--qui", "--", str(picture)]
    assert main(["upscale", *given]) == 0
    assert [path.name for path in output.iterdir()] == ["--a.png"]


def test_results_of_an_earlier_run_among_the_pictures_are_said(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _save(tmp_path / "in" / "a.png").parent
    command = ["upscale", str(folder), "--recursive", "--model", model, "--no-faces", "--quiet", "--json"]
    assert main([*command, "--output", str(folder / "restored")]) == 0
    assert main([*command, "--output", str(tmp_path / "elsewhere")]) == 0
    said = {record["input"]: record["notes"] for record in map(json.loads, capsys.readouterr().out.splitlines()[1:])}
    assert said[str(folder / "a.png")] == []
    assert "a result of an earlier run" in " ".join(said[str(folder / "restored" / "a.png")])


def test_a_picture_whose_name_begins_with_a_dash_is_said_to_look_like_an_option(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "-rf.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        main(["upscale", "-rf.png", "--output", "out", "--model", model])
    assert raised.value.code == 2
    assert "write ./-rf.png" in capsys.readouterr().err
    assert main(["upscale", "./-rf.png", "--output", "out", "--model", model, "--quiet", "--no-faces"]) == 0


@pytest.mark.parametrize(
    ("arguments", "deep", "clear"),
    [
        ([], "--bits 16 keeps", ""),
        (["--format", "jpeg"], "--bits 16 --format png keeps", "transparency"),
        (["--bits", "16", "--format", "tiff"], "", ""),
    ],
)
def test_what_a_result_cannot_hold_is_said(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], deep: str, clear: str
) -> None:
    scan, oval = tmp_path / "scan.png", _save(tmp_path / "oval.png", mode="RGBA")
    Image.new("I;16", (12, 9), 4097).save(scan)
    command = ["upscale", str(scan), str(oval), "--output", str(tmp_path / "out"), "--model", model, "--no-faces"]
    assert main([*command, "--json", "--quiet", *arguments]) == 0
    said = [" ".join(json.loads(line)["notes"]) for line in capsys.readouterr().out.splitlines()]
    for words, asked in (("16 bits per channel", deep), ("no transparency", clear)):
        assert [words in each for each in said] == [bool(asked) and index == (words[0] == "n") for index in range(2)]
    assert deep in said[0]


@pytest.mark.parametrize("name", ["result.png", "new/Ada.safetensors", "in/a.png"])
def test_an_output_that_names_a_file_makes_no_folder_of_that_name(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    picture = _save(tmp_path / "in" / "a.png")
    before = picture.read_bytes()
    assert main(["upscale", str(picture), "--output", str(tmp_path / name), "--model", model]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err
    assert not (tmp_path / name).is_dir()
    assert picture.read_bytes() == before


def test_output_folder_that_cannot_be_written(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    picture = _save(tmp_path / "in" / "a.png")
    assert main(["upscale", str(picture), "--output", str(blocked / "out"), "--model", model]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_name_of_a_file_directs_no_terminal(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = _save(tmp_path / "red\x1b[31m\x1b]0;title\a.png")
    (tmp_path / "bad\x1b[2J.png").write_bytes(b"no picture")
    assert main(["upscale", str(tmp_path), "--output", str(tmp_path / "out"), "--model", model]) == 2
    assert main(["plan", str(picture), "--model", model, "--no-calibration"]) == 0
    assert main(["upscale", f"{tmp_path}/none\x1b[2J.png", "--output", str(tmp_path / "out"), "--model", model]) == 2
    shown = "".join(capfd.readouterr())
    assert "bad\ufffd[2J.png is not a picture" in shown
    assert "red\ufffd[31m\ufffd]0;title\ufffd.png" in shown
    assert "none\ufffd[2J.png" in shown
    assert not {"\x1b", "\a"} & set(shown)


def test_a_result_whose_name_has_two_lines_is_named_in_one(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = _save(tmp_path / "two\nlines.png")
    with caplog.at_level("INFO"):
        command = ["upscale", str(picture), "--output", str(tmp_path / "out"), "--model", model, "--no-faces"]
        assert main([*command, "--quiet"]) == 0
    assert "two\ufffdlines.png\n" in caplog.text
    assert "two\nlines" not in caplog.text


@pytest.mark.parametrize("option", ["--model", "--adapter"])
def test_a_model_that_cannot_be_reached_is_not_called_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    beside = ["--base", str(tmp_path)] if option == "--adapter" else []
    picture = _save(tmp_path / "in" / "a.png")
    arguments = ["upscale", str(picture), "--output", str(tmp_path / "out"), *beside]
    assert main([*arguments, option, str(loop / "m.safetensors")]) == 2
    assert "m.safetensors' cannot be reached (Too many levels" in capsys.readouterr().err
    with pytest.raises(ModelFileError, match=r"base .* cannot be reached \(Too many levels"):
        find_base(str(loop), PlainHost())


def test_a_model_folder_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "headsup").symlink_to(folder / "headsup")
    with pytest.raises(ModelFileError, match=r"headsup/toy\.safetensors, which cannot be reached \(Too many levels"):
        PlainHost(models_dir=folder).find_model("headsup", "toy.safetensors")


def test_a_model_that_may_not_be_read(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ModelFileError, match="may not be read by this user: allow it"):
        read_weights(Path(model))


def test_models_by_name_and_from_extra_model_paths(model: str, tmp_path: Path) -> None:
    picture = _save(tmp_path / "in" / "a.png")
    arguments = ["upscale", str(picture), "--output", str(tmp_path / "out"), "--model", "toy.safetensors", "--quiet"]
    assert main(arguments) == 2
    assert main([*arguments, "--models-dir", str(tmp_path / "models")]) == 0
    extra = tmp_path / "extra_model_paths.yaml"
    extra.write_text("mine:\n  base_path: .\n  is_default: true\n  headsup: |\n    nowhere\n    models/headsup\n")
    assert read_extra_model_paths(extra)["headsup"] == [tmp_path / "nowhere", tmp_path / "models/headsup"]
    assert main([*arguments, "--extra-model-paths", str(extra)]) == 0


def test_json_goes_to_stdout_one_line_a_picture(model: str, tmp_path: Path) -> None:
    """In a process of its own: what a script that pipes it would see."""
    picture = _save(tmp_path / "in" / "a.png")
    command = [sys.executable, "-m", "headsup_core", "upscale", str(picture), "--output", str(tmp_path / "out")]
    import headsup_core

    parent = Path(headsup_core.__file__).parent.parent
    command += ["--no-faces", "--model", model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=parent)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["output_size"] == [36, 48]
    assert record["tile"] % 8 == 0
    assert torch.isfinite(read_picture(record["output"]).rgb).all()


@pytest.mark.parametrize("aligned", [False, True])
def test_models_of_aligned_faces_get_the_faces(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aligned: bool
) -> None:
    shrink(monkeypatch)
    adapter = osdface_files(base, tmp_path)
    folder = base_folder(base, tmp_path / "base")
    _save(tmp_path / "a.png", (64, 64))
    face = Face((0.0, 0.0, 9.0, 9.0), template("ffhq", 32) + 16.0, 1.0)
    analyzer = SimpleNamespace(detect=lambda image, options: Faces(((face,),), 64, 64))
    monkeypatch.setattr("headsup_core.commands.upscaling.prepared.make_analyzer", lambda *_: analyzer)
    command = ["upscale", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--adapter", str(adapter)]
    command += ["--base", str(folder), "--quiet", *(["--aligned"] if aligned else [])]
    assert main(command) == 0
    changed = (read_picture(tmp_path / "out" / "a.png").rgb - read_picture(tmp_path / "a.png").rgb).abs()
    assert changed[..., 16:48, 16:48].max() > 0.05
    assert bool(changed[..., :16, :].max() > 0.05) == aligned


# --- surroundings that are unlike a developer's -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  base_path: $MYMODELS/\n  is_default: true\n  headsup: big\n", {"headsup": ["VARIABLE/big"]}),
        ("a:\n  base_path: ${MYMODELS}/x\n  headsup: big/\n", {"headsup": ["VARIABLE/x/big"]}),
        ("a:\n  base_path: $NOSUCH/x\n  headsup: big\n", {"headsup": ["HERE/$NOSUCH/x/big"]}),
        ("a:\n  base_path: ~nosuchuser/x\n  headsup: big\n", {"headsup": ["HERE/~nosuchuser/x/big"]}),
        ("a:\n  base_path: m\n  headsup: \n  checkpoints: big\n", {"checkpoints": ["HERE/m/big"]}),
        ("a:\n  base_path:\n  headsup: ../big\n", {"headsup": ["HERE/../big"]}),
        ("a:\nb:\n  headsup: /elsewhere\n", {"headsup": ["/elsewhere"]}),
        ("a:\n  headsup: late\nb:\n  is_default: true\n  headsup: early\n", {"headsup": ["HERE/early", "HERE/late"]}),
        ("# Kommentar über\na:\n  headsup: ä\n", {"headsup": ["HERE/ä"]}),
    ],
)
def test_model_paths_are_read_as_comfyui_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: dict[str, list[str]]
) -> None:
    monkeypatch.setenv("MYMODELS", str(tmp_path / "variable"))
    (tmp_path / "paths.yaml").write_text(text, encoding="utf-8")
    places = {"VARIABLE": str(tmp_path / "variable"), "HERE": str(tmp_path)}

    def path(words: str) -> Path:
        for name, place in places.items():
            words = words.replace(name, place)
        return Path(os.path.normpath(words))

    wanted = {kind: [path(words) for words in folders] for kind, folders in expected.items()}
    assert read_extra_model_paths(tmp_path / "paths.yaml") == wanted


@pytest.mark.parametrize(
    "data",
    [b"# \xfcber\na:\n  headsup: x\n", b"- a\n", b"a: b\n", b"a:\n  headsup: [1, 2]\n", b"a: [",
     b"a:\n  b: 2024-99-99\n", b"\0", b"a: &x [*x]\n", b"[" * 5000],
)  # fmt: skip
def test_model_paths_that_cannot_be_read_are_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "paths.yaml").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_extra_model_paths(tmp_path / "paths.yaml")
    assert "paths.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_linked_models_are_followed_and_names_that_lead_out_are_not(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "models" / "headsup", tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "a.safetensors").touch()
    (folder / "link.safetensors").symlink_to(elsewhere / "a.safetensors")
    (folder / "more").symlink_to(elsewhere, target_is_directory=True)
    host = PlainHost("cpu", tmp_path / "models")
    assert host.find_model("headsup", "link.safetensors") == folder / "link.safetensors"
    assert host.find_model("headsup", "more/a.safetensors") == folder / "more" / "a.safetensors"
    for name in ("../x", "more/../../x", "/etc/passwd", "C:x", "C:\\x", "..\\x", "\\\\server\\x", "a\0b", ""):
        with raises_naming(InputError, repr(name)):
            host.find_model("headsup", name)


def test_without_a_home_there_is_no_cache_and_that_is_all(
    toy_model: OneStepModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "HEADSUP_CACHE", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() is None
    assert read_calibration(toy_model, torch.device("cpu")) is None


def test_help_without_docstrings() -> None:
    import headsup_core

    parent = Path(headsup_core.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "headsup_core", "--help"], capture_output=True, text=True, cwd=parent
    )
    assert done.returncode == 0, done.stderr
    assert "upscale" in done.stdout


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("x: can't allocate memory: 9 bytes")],
    ids=["Python", "GPU", "torch"],
)
def test_memory_that_runs_out_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """Where no single picture can be blamed: while a photo of a person is encoded, say."""

    def full(*_arguments: object, **_options: object) -> None:
        raise error

    picture = _save(tmp_path / "a.png")
    monkeypatch.setattr("headsup_core.commands.upscaling.prepared.with_people", full)
    given = ["upscale", str(picture), "--reference", str(picture), "--output", str(tmp_path / "out"), "--quiet"]
    assert main(given) == 2
    assert "memory ran out" in capsys.readouterr().err.splitlines()[-1]
    error = ValueError("no lack of memory")
    with pytest.raises(ValueError, match="no lack"):
        main(given)
