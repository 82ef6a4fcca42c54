from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from harness.osdface import osdface_files, shrink
from harness.systems import base_folder
from PIL import Image

from headsup_core.cli import main
from headsup_core.commands.hosting import read_extra_model_paths
from headsup_core.faces import Face, Faces
from headsup_core.faces.alignment import template
from headsup_core.image_files import read_picture
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel


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
        (["--model", "missing.safetensors"], "no such file|not found"),
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


def test_output_folder_that_cannot_be_written(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    picture = _save(tmp_path / "in" / "a.png")
    assert main(["upscale", str(picture), "--output", str(blocked / "out"), "--model", model]) == 2
    assert "cannot be written" in capsys.readouterr().err


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
    done = subprocess.run([*command, "--model", model, "--json"], capture_output=True, text=True, cwd=parent)
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
    monkeypatch.setattr("headsup_core.commands.upscale.make_analyzer", lambda *_: analyzer)
    command = ["upscale", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--adapter", str(adapter)]
    command += ["--base", str(folder), "--quiet", *(["--aligned"] if aligned else [])]
    assert main(command) == 0
    changed = (read_picture(tmp_path / "out" / "a.png").rgb - read_picture(tmp_path / "a.png").rgb).abs()
    assert changed[..., 16:48, 16:48].max() > 0.05
    assert bool(changed[..., :16, :].max() > 0.05) == aligned
