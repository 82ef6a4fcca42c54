"""The contracts on imports hold, and each one fails when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.pack import CODE


@pytest.fixture
def package(tmp_path: Path, root: Path) -> Path:
    """A copy of the code as the package `comfyui_headsup`."""
    target = tmp_path / "comfyui_headsup"
    target.mkdir()
    for name in CODE:
        if (root / name).is_dir():
            ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
            shutil.copytree(root / name, target / name, ignore=ignored)
        else:
            shutil.copyfile(root / name, target / name)
    return target


def lint(package: Path, root: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    env = {**os.environ, "PYTHONPATH": str(package.parent), "COLUMNS": "200"}
    command = [tool, "--config", root / ".importlinter", "--no-cache"]
    return subprocess.run(command, cwd=package.parent, env=env, capture_output=True, text=True)


def test_contracts_are_kept(package: Path, root: Path) -> None:
    found = lint(package, root)

    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("headsup_core/imaging/lab.py", "from ..models import one_step", "The core's layers import downwards only"),
        ("headsup_core/host.py", "from .restoring import Report", "The core's layers import downwards only"),
        ("headsup_core/host.py", "from ..nodes import host", "The node layer is above the core"),
        ("headsup_core/host.py", "import comfy.utils", "The core never imports ComfyUI"),
        ("headsup_core/new_subject.py", "", "The core's layers import downwards only"),
    ],
)
def test_broken_contract_fails(package: Path, root: Path, file: str, line: str, contract: str) -> None:
    with (package / file).open("a") as stream:
        stream.write(f"\n{line}\n")

    found = lint(package, root)

    assert found.returncode != 0
    assert f"{contract} BROKEN" in found.stdout
