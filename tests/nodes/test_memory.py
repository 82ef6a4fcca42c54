"""Our networks in the memory management of each supported ComfyUI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.comfyui import CURRENT, OLDEST, ensure_comfyui
from support.pack import PACKAGE_PARENT

PROBE = Path(__file__).with_name("memory_probe.py")
SIZE = 43_176
GPU = "meta"


@pytest.fixture(scope="module", params=[CURRENT, OLDEST])
def version(request: pytest.FixtureRequest) -> str:
    """A version of ComfyUI."""
    return request.param


@pytest.fixture(scope="module")
def found(version: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `memory_probe.py` found."""
    command = [sys.executable, str(PROBE), str(ensure_comfyui(version)), str(PACKAGE_PARENT)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    folder = tmp_path_factory.mktemp("probe")
    result = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_whole_network_is_loaded_even_without_room(found: dict[str, Any]) -> None:
    assert found["novram"] == {"on": [GPU], "loaded": SIZE}
    # the reason for the subclass; when this fails, ComfyUI has changed and it may go
    assert found["novram_of_comfyui"]["on"] == ["cpu"]


def test_no_part_is_left_behind_under_pressure(found: dict[str, Any]) -> None:
    assert found["pressed"] == {"gone": True, "on": [GPU], "loaded": 0}
    assert found["pressed_of_comfyui"]["on"] == ["cpu", GPU]


def test_patcher_is_shared_and_goes_with_its_network(found: dict[str, Any]) -> None:
    assert found["lifetime"] == {"same": True, "listed": 1, "freed": True, "left": 0}


def test_memory_of_other_models_is_usable_but_not_our_own(found: dict[str, Any]) -> None:
    assert found["usable"] == [1000, 1000 + SIZE, 1000 + SIZE]


def test_dynamic_vram_has_our_networks_whole(found: dict[str, Any], version: str) -> None:
    """What is on the device stays there from one request to the next, and goes whole when others need the room."""
    whole, gone = {"on": [GPU], "loaded": SIZE}, {"on": ["cpu"], "loaded": 0}
    first = whole | {"dynamic": True, "listed": 1}
    expected = {"first": first, "kept": True, "away": gone, "again": whole, "cpu": False}
    assert found["dynamic"] == (expected if version == CURRENT else None)
