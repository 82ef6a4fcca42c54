"""The node layer is tested as a part of the package `comfyui_headsup`, which is a view of the repository."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from support.pack import PACKAGE_PARENT, link_package

link_package()
sys.path.insert(0, str(PACKAGE_PARENT))

BRIDGE = "comfyui_headsup.nodes.bridge"


@pytest.fixture
def bridge_module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`bridge_module(name, **comfyui)`: the module `name` of `nodes.bridge`, imported anew with a ComfyUI that has only
    the given things; nobody else gets to see it."""

    def imported(name: str, **comfyui: object) -> Any:
        stub = ModuleType(f"{BRIDGE}.comfy")
        vars(stub).update(comfyui)
        monkeypatch.setitem(sys.modules, stub.__name__, stub)
        monkeypatch.delitem(sys.modules, f"{BRIDGE}.{name}", raising=False)
        module = importlib.import_module(f"{BRIDGE}.{name}")
        monkeypatch.delitem(sys.modules, module.__name__)
        return module

    return imported
