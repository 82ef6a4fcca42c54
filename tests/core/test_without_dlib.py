"""Where dlib cannot be installed our own detector is the default, and everything runs with nothing to download."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from harness.faces import face_at
from harness.people import astronaut_photo, group_photo
from harness.people_stubs import faces_of
from harness.refusals import raises_naming
from packaging.requirements import Requirement
from PIL import Image

import headsup_core as hu
from headsup_core.faces import DetectionOptions, load_face_analyzer, registry

WITHOUT = """
import sys
sys.modules["dlib"] = None
from headsup_core.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Eileen Collins at 128 px, eyes 11 px apart."""
    pixels = (astronaut_photo()[0].permute(1, 2, 0) * 255).byte().numpy()
    path = tmp_path / "in" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.LANCZOS).save(path)
    return path


def test_the_default_is_dlib_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.default_analyzer() == registry.DEFAULT_ANALYZER == "dlib"
    for library in ("dlib", "face_recognition_models"):
        with monkeypatch.context() as missing:
            missing.setitem(sys.modules, library, None)  # as if it were not installed
            assert registry.default_analyzer() == "bundled"
            with pytest.raises(hu.InputError, match="pip install"):
                load_face_analyzer("dlib")


def test_our_detector_finds_faces() -> None:
    """As dlib's finds them: the astronaut, and of six people at a table all but the one in profile."""
    ours, dlib = load_face_analyzer("bundled"), load_face_analyzer("dlib")
    for picture, count, least in ((astronaut_photo(), 1, 20.0), (group_photo(), 5, 40.0)):
        wanted = DetectionOptions(min_eye_distance=least)  # the fewer sizes are looked at, the sooner
        found, expected = ours.detect(picture, wanted)[0], dlib.detect(picture, wanted)[0]
        assert len(found) == count
        for face in found:
            nearest = min(expected, key=lambda one: float((one.landmarks - face.landmarks).norm()))
            away = (nearest.landmarks - face.landmarks).norm(dim=1).mean()
            assert float(away) < 0.1 * nearest.eye_distance


def test_nothing_is_found_where_nobody_is() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 160), torch.linspace(0, 1, 200), indexing="ij")
    noise = torch.rand(160, 200, generator=torch.Generator().manual_seed(0))
    analyzer = load_face_analyzer("bundled")
    assert analyzer.detect(noise.expand(1, 3, 160, 200)).count == 0
    for plain in (x, torch.sin(60 * x) * 0.5 + 0.5, (x * y > 0.3).float()):
        assert analyzer.detect(plain.expand(1, 3, 160, 200), DetectionOptions(min_eye_distance=10.0)).count == 0


def test_our_detector_recognises_nobody() -> None:
    picture = astronaut_photo()
    with raises_naming(hu.InputError, "bundled"):
        load_face_analyzer("bundled").embed(picture, faces_of(picture, face_at(225, 100, 43)))


def test_restoring_without_dlib(photo: Path, tmp_path: Path) -> None:
    asked = ["upscale", str(photo), "--scale", "2", "--output", str(tmp_path), "--json"]
    command = [sys.executable, "-c", WITHOUT, *asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr
    assert "planned around 1 face" in json.dumps(json.loads(done.stdout.splitlines()[-1]))
    assert Image.open(tmp_path / "astronaut.png").size == (256, 256)


@pytest.mark.parametrize(
    ("place", "wheel"),
    [
        (("3.12", "darwin", "x86_64", "20.1.0"), True),
        (("3.13", "darwin", "x86_64", "23.1.0"), False),
        (("3.13", "darwin", "arm64", "22.6.0"), False),
        (("3.14", "darwin", "arm64", "24.0.0"), True),
        (("3.13", "linux", "aarch64", "6.1.0-17"), True),
        (("3.14", "linux", "aarch64", "6.1.0-17"), False),
        (("3.14", "linux", "x86_64", "6.1.0-17-amd64"), True),
        (("3.14", "win32", "AMD64", "11"), True),
        (("3.12", "win32", "ARM64", "11"), False),
        (("3.15", "linux", "x86_64", "6.1"), False),
    ],
)
def test_dlib_is_asked_for_where_it_has_a_wheel(place: tuple[str, str, str, str], wheel: bool, root: Path) -> None:
    lines = (root / "requirements.txt").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("dlib-bin"))
    marker = Requirement(line).marker
    assert marker is not None
    names = ("python_version", "sys_platform", "platform_machine", "platform_release")
    assert marker.evaluate(dict(zip(names, place, strict=True))) is wheel


def test_nothing_but_pythons_version_is_compared_by_order(root: Path) -> None:
    """pip 24 fails on a system's release such as 6.8.0-45-generic, which is no version."""
    for file in ("requirements.txt", "pyproject.toml"):
        compared = re.findall(r"(\w+) (?:<=?|>=?|~=) [\"']", (root / file).read_text())
        assert set(compared) == {"python_version"}
