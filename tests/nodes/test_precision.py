"""What ComfyUI was started with decides the precision of results, and of weights where none is chosen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def precision(bridge_module: Callable[..., Any]) -> Any:
    """The module, with a ComfyUI that has no flags and knows no precision of results, as 0.3.75."""
    management = SimpleNamespace(intermediate_device=lambda: torch.device("cpu"))
    return bridge_module("precision", model_management=management, cli_args=SimpleNamespace())


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
