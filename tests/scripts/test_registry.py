"""What the ComfyUI registry reads of pyproject.toml, by ComfyUI's own parser, and its written rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from PIL import Image
from support.comfyui import CURRENT, ensure_comfyui
from support.pack import copy_as_cloned

READ = "import sys, json; sys.path.insert(0, sys.argv[1]); from comfy_config import config_parser as parser; "
READ += "print(parser.extract_node_configuration(sys.argv[2]).model_dump_json(by_alias=True))"
LARGEST = 64 << 20


@pytest.fixture(scope="module")
def metadata(root: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", READ, str(ensure_comfyui(CURRENT)), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_required_fields(metadata: dict[str, Any]) -> None:
    project, comfy = metadata["project"], metadata["tool_comfy"]
    assert re.fullmatch(r"[A-Za-z](?:[A-Za-z0-9]|[-_.](?=[A-Za-z0-9])){0,98}", project["name"])
    assert "comfyui" not in project["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["description"]
    assert project["supported_os"] == ["OS Independent"]
    assert project["supported_comfyui_version"] == ">=0.3.75"
    assert comfy["PublisherId"]
    assert comfy["DisplayName"]
    assert comfy["Icon"] == "" or comfy["Icon"].startswith("https://")
    assert comfy["includes"] == []


def test_files_that_are_named_are_there(root: Path, metadata: dict[str, Any]) -> None:
    assert (root / metadata["project"]["license"]["file"]).is_file()
    assert (root / metadata["tool_comfy"]["web"] / "headsup.js").is_file()
    icon = Image.open(root / "docs" / "images" / "icon.png")
    assert icon.size == (400, 400)


def test_dependencies_are_those_of_the_requirements(root: Path, metadata: dict[str, Any]) -> None:
    lines = (root / "requirements.txt").read_text().splitlines()
    required = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert metadata["project"]["dependencies"] == required
    names = [Requirement(line).name.lower() for line in required]
    assert [name for name in names if "opencv" in name] == []  # which variant there is, others decide
    assert len(names) == len(set(names))


def test_archive_is_small(root: Path, tmp_path: Path) -> None:
    ignored = [line for line in (root / ".comfyignore").read_text().splitlines() if line and not line.startswith("#")]
    copy = copy_as_cloned(tmp_path / "clone")
    files = [path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()]
    kept = [name for name in files if not name.startswith(tuple(ignored))]
    assert sum((copy / name).stat().st_size for name in kept) < LARGEST
    assert {"__init__.py", "nodes/extension.py", "web/docs/HeadsUpUpscale.md", "LICENSE"} <= set(kept)
    assert not [name for name in kept if name.startswith("tests/")]
