"""Loading the pack costs ComfyUI next to nothing: no heavy library, no connection."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.executor import HARNESS_PACK, RUNNER, Executor
from support.comfyui import CURRENT, OLDEST, ensure_comfyui
from support.server import make_base_directory

pytestmark = pytest.mark.every_comfyui

PROBE = RUNNER.with_name("import_probe.py")
NODES = [
    "HeadsUpLoadModel",
    "HeadsUpUpscale",
    "HeadsUpLoadFaceAnalyzer",
    "HeadsUpDetectFaces",
    "HeadsUpEncodeIdentity",
    "HeadsUpSaveIdentity",
    "HeadsUpLoadIdentity",
    "HeadsUpCompareIdentity",
    "HeadsUpFacesToMask",
    "HeadsUpFacesToSEGS",
]


def probe(version: str, pack: Path, base: Path, log: Path) -> dict[str, Any]:
    command = [sys.executable, str(PROBE), str(ensure_comfyui(version)), str(make_base_directory(base)), str(pack)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with log.open("wb") as stream:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=stream, check=True, env=env, cwd=base).stdout
    return json.loads(answer)


@pytest.mark.parametrize("version", [CURRENT, OLDEST])
def test_pack_loads_nothing_heavy_and_opens_no_socket(
    version: str, cloned_pack: Path, tmp_path: Path, artifacts: Path
) -> None:
    found = probe(version, cloned_pack, tmp_path / "base", artifacts / f"import-{version}.log")

    (artifacts / f"import-{version}.json").write_text(json.dumps(found))
    assert found["loaded"]
    assert found["heavy"] == []
    assert found["sockets"] == []
    assert set(NODES) <= set(found["nodes"])


def test_probe_notices_a_heavy_import_and_a_socket(tmp_path: Path) -> None:
    pack = tmp_path / "heavy"
    pack.mkdir()
    code = "import socket\nimport transformers\nsocket.socket().close()\nNODE_CLASS_MAPPINGS = {}\n"
    (pack / "__init__.py").write_text(code)

    found = probe(CURRENT, pack, tmp_path / "base", tmp_path / "log")

    assert "transformers" in found["heavy"]
    assert found["sockets"] != []


def test_every_pack_loads_in_the_executor(executor: Executor) -> None:
    assert executor.failed_packs == []
    assert "HarnessValues" in executor.object_info()
    assert HARNESS_PACK.is_dir()


def absolute_imports(file: Path) -> list[str]:
    """The modules that a file imports by their full name."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]


def test_pack_uses_its_own_copy_of_the_core(cloned_pack: Path) -> None:
    """Imports inside the pack are relative: an absolute one would find another copy, or none at the user's."""
    files = [file for folder in ("nodes", "headsup_core") for file in (cloned_pack / folder).rglob("*.py")]
    own = [name for file in files for name in absolute_imports(file) if name.split(".")[0] in ("headsup_core", "nodes")]

    assert files
    assert own == []
