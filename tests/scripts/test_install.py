"""Installing as ComfyUI-Manager does: the files of a clone in custom_nodes, then `pip install -r requirements.txt`.

A whole environment has gigabytes that are the same for everybody. Here the environment has what the tests' one has, by
links, but for the packages that this is about: the two that bring OpenCV, and OpenCV, of which the headless variant is
there first, as in many images for servers. pip fetches the rest from the index as it would for a user.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from harness.executor import TEST_ENVIRONMENT
from support.client import ComfyClient
from support.comfyui import CURRENT, ensure_comfyui
from support.pack import copy_as_cloned
from support.server import ComfyServer, make_base_directory

FOLDER = "Köpfe hoch! v1.0 (main)"
MISSING = ("cv2", "opencv_", "insightface", "facexlib")
HEADLESS = "opencv-python-headless"
IMPORT_SECONDS = 900
USE_CV2 = """
import cv2, facexlib, insightface, numpy
print(cv2.resize(numpy.zeros((8, 8, 3), "uint8"), (4, 4)).shape)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the headless OpenCV, without insightface and facexlib."""
    folder = tmp_path_factory.mktemp("environment")
    others = folder / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(MISSING) and entry.suffix != ".pth":
            (others / entry.name).symlink_to(entry)
    venv.create(folder / "venv", with_pip=False)
    interpreter = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text(f"{others}\n")
    pip(interpreter, "install", f"{HEADLESS}=={importlib.metadata.version('opencv-python')}")
    return interpreter


def pip(interpreter: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(interpreter: Path, code: str) -> str:
    done = subprocess.run(
        [interpreter, "-c", code], capture_output=True, text=True, timeout=IMPORT_SECONDS, cwd=interpreter.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.timeout(3600)
def test_clone_and_requirements_are_enough(python: Path, tmp_path: Path) -> None:
    base = make_base_directory(tmp_path / "base")
    pack = copy_as_cloned(base / "custom_nodes" / FOLDER)
    assert run(python, "import cv2; print(cv2.__version__)")
    before = installed(python)

    pip(python, "install", "-r", str(pack / "requirements.txt"))

    after = installed(python)
    assert set(after) - set(before) == {"opencv-python", "insightface", "facexlib"}
    assert {name: after[name] for name in before} == before  # nothing that was there was moved
    assert run(python, USE_CV2) == "(4, 4, 3)"
    log = tmp_path / "comfyui.log"
    with ComfyServer(python, ensure_comfyui(CURRENT), base, log, cpu=True, env=TEST_ENVIRONMENT) as server:
        known = ComfyClient(server.address).object_info()
    nodes = {name for name, schema in known.items() if schema["python_module"] == f"custom_nodes.{FOLDER}"}
    assert {"HeadsUpLoadModel", "HeadsUpUpscale", "HeadsUpDetectFaces"} <= nodes
    assert f"IMPORT FAILED: {base}" not in log.read_text()


def installed(interpreter: Path) -> dict[str, str]:
    """Distributions in the environment itself, and those that it sees by links."""
    (site,) = interpreter.parents[1].glob("lib/python*/site-packages")
    paths = [str(site), *(site / "others.pth").read_text().split()]
    return {found.name: found.version for found in importlib.metadata.distributions(path=paths)}
