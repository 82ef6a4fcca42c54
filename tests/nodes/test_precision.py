"""What ComfyUI was started with decides the precision of results, and of weights where none is chosen."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

PACKAGE = "comfyui_headsup.nodes.bridge"


@pytest.fixture
def precision(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with a ComfyUI that has no flags and knows no precision of results, as 0.3.75."""
    stub: Any = ModuleType(f"{PACKAGE}.comfy")
    stub.model_management = SimpleNamespace(intermediate_device=lambda: torch.device("cpu"))
    stub.cli_args = SimpleNamespace()
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.delitem(sys.modules, f"{PACKAGE}.precision", raising=False)
    module = importlib.import_module(f"{PACKAGE}.precision")
    monkeypatch.delitem(sys.modules, module.__name__)
    return module


def test_results_have_the_precision_that_comfyui_wants(precision: Any) -> None:
    picture = torch.rand(1, 2, 2, 3)

    assert precision.outgoing(picture) is picture
    precision.model_management.intermediate_dtype = lambda: torch.float16
    assert precision.outgoing(picture).dtype == torch.float16


@pytest.mark.parametrize(
    ("flag", "dtype"),
    [
        ("force_fp32", "float32"),
        ("fp32_unet", "float32"),
        ("bf16_unet", "bfloat16"),
        ("fp16_unet", "float16"),
        ("force_fp16", "float16"),
    ],
)
def test_flags_count_where_nothing_was_chosen(precision: Any, flag: str, dtype: str) -> None:
    assert precision.chosen_dtype("auto") == "auto"
    setattr(precision.cli_args, flag, True)
    assert precision.chosen_dtype("auto") == dtype
    assert precision.chosen_dtype("float32") == "float32"
