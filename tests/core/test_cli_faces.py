"""The commands `faces` and `identity`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from harness.people import astronaut_photo, group_photo

from headsup_core.cli import main
from headsup_core.identity import load_identity
from headsup_core.image_files import write_picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    portrait = astronaut_photo()[..., :256, 96:352]
    write_picture(folder / "ada.png", portrait)
    write_picture(folder / "ada_dark.png", portrait.flip(-1) * 0.7)
    write_picture(folder / "stranger.png", group_photo()[..., 90:390, 230:500])
    write_picture(folder / "wall.png", torch.full((1, 3, 60, 80), 0.5))
    return folder


def test_faces_as_json(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.png").write_bytes(b"x")
    status = main(["faces", str(photos), "--json", "--embeddings", "--quiet"])
    out, err = capsys.readouterr()
    records = {Path(record["picture"]).name: record for record in map(json.loads, out.splitlines())}
    assert status == 2
    assert "1 of 5 pictures failed" in err
    assert "broken.png" in err
    assert set(records) == {"ada.png", "ada_dark.png", "stranger.png", "wall.png"}
    (face,) = records["ada.png"]["faces"]
    assert set(face["landmarks"]) == {"left eye", "right eye", "nose", "left mouth corner", "right mouth corner"}
    assert face["eye_distance"] == pytest.approx(43.7, abs=3)
    assert len(face["embedding"]) == 128
    assert records["ada.png"]["embedder"] == "dlib_resnet_v1"
    assert records["wall.png"]["faces"] == []


def test_faces_in_words(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", str(photos / "ada.png"), str(photos / "wall.png"), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ada.png: 1 face")
    assert "eye distance 4" in lines[1]
    assert lines[2].endswith("wall.png: no faces")
    assert main(["faces", str(photos / "ada.png"), "--min-eye-distance", "80", "--quiet"]) == 0
    assert "no faces" in capsys.readouterr().out
    assert main(["faces", str(photos / "ada.png"), "--min-score", "3"]) == 2
    assert "minimum score 3.0: must be from 0 to 1" in capsys.readouterr().err


def test_identity_is_encoded_and_compared(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "identities"
    pictures = [str(photos / name) for name in ("ada.png", "ada_dark.png", "wall.png", "missing.png")]
    assert main(["identity", "encode", *pictures, "--name", "Ada", "--output", str(out), "--quiet"]) == 2
    shown, complaint = capsys.readouterr()
    assert "wall.png: left out, quality 0.00, no face found" in shown
    assert "1 photos could not be read, the others were used" in complaint
    file = out / "Ada.safetensors"
    assert [photo.used for photo in load_identity(file).photos] == [True, True, False]
    assert main(["identity", "compare", str(file), str(photos / "ada.png"), "--json", "--quiet"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["verdict"] == "same person"
    assert same["score"] == pytest.approx(1, abs=0.15)
    assert main(["identity", "compare", str(photos / "stranger.png"), str(file), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("different people")
    write_picture(photos / "group.png", group_photo())
    caplog.clear()
    with caplog.at_level("INFO"):
        assert main(["identity", "compare", str(photos / "group.png"), str(file), "--quiet"]) == 0
    assert "group.png: used" in caplog.text
    assert "faces" in caplog.text


def test_identity_says_what_is_wrong(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--output", str(tmp_path), "--quiet"]
    wall, ada = str(photos / "wall.png"), str(photos / "ada.png")
    assert main(["identity", "encode", wall, "--name", "Wall", *out]) == 2
    assert "no face was found in any of the 1 photos of 'Wall'" in capsys.readouterr().err
    assert main(["identity", "encode", ada, ada, "--name", "A", "--name", "B", *out]) == 2
    assert "2 names for one person" in capsys.readouterr().err
    assert main(["identity", "encode", ada, wall, "--name", "A", "--everybody", *out]) == 2
    assert "--everybody takes one photo" in capsys.readouterr().err
    assert main(["identity", "calibrate", str(photos), "--quiet"]) == 0
    assert "2 people; mean cosine of the same person" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.safetensors"))
