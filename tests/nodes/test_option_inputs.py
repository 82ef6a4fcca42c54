"""Declared options as inputs of a node, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from comfyui_headsup.headsup_core.option_fields import declared_options, option


@dataclass(frozen=True)
class Sample:
    scale: float | None = option(None, "Enlargement.", minimum=0.1, maximum=16, step=0.25, unset="the model's own")
    overlap: int | None = option(None, "How far tiles overlap.", minimum=0, maximum=4096, unit="px")
    strength: float = option(1.0, "How much counts.", minimum=0, maximum=1)
    fix: Literal["none", "lab"] | None = option(None, "Where the colours come from.", unset="what the model needs")
    sample: bool = option(False, "Draw the latent.", advanced=True)
    prompt: str | None = option(None, "What is seen.", multiline=True, unset="the model's own")


class _Input:
    """Keeps what a node declares; knows no `advanced`, as ComfyUI 0.3.75."""

    def __init__(
        self, id: str, default: Any = None, tooltip: str = "", optional: bool = False, min: Any = None, max: Any = None,
        step: Any = None, round: Any = None, options: Any = None, multiline: bool = False,
    ) -> None:  # fmt: skip
        self.id, self.default, self.tooltip, self.optional = id, default, tooltip, optional
        self.min, self.max, self.step, self.options, self.multiline = min, max, step, options, multiline


@pytest.fixture
def adapter(bridge_module: Callable[..., Any]) -> Any:
    kinds = ("Boolean", "Int", "Float", "String", "Combo")
    io = SimpleNamespace(**{kind: SimpleNamespace(Input=type(kind, (_Input,), {})) for kind in kinds})
    return bridge_module("option_inputs", io=io)


def test_inputs_have_kind_range_and_default(adapter: Any) -> None:
    scale, overlap, strength, fix, sample, prompt = adapter.option_inputs(Sample, declared_options(Sample))
    assert [type(each).__name__ for each in (scale, overlap, strength, fix, sample, prompt)] == [
        "Float", "Int", "Float", "Combo", "Boolean", "String",
    ]  # fmt: skip
    assert (scale.default, scale.min, scale.max, scale.step) == (0.0, 0.0, 16.0, 0.25)
    assert (overlap.default, overlap.min, overlap.max) == (-1, -1, 4096)
    assert (strength.default, strength.min, strength.max) == (1.0, 0.0, 1.0)
    assert (fix.default, fix.options) == ("auto", ["auto", "none", "lab"])
    assert (prompt.default, prompt.multiline) == ("", True)
    assert sample.default is False


def test_tooltips_say_range_default_and_what_unset_means(adapter: Any) -> None:
    tooltips = [each.tooltip for each in adapter.option_inputs(Sample, declared_options(Sample))]
    assert tooltips == [
        "Enlargement. From 0.1 to 16. 0 (default): the model's own.",
        "How far tiles overlap. From 0 to 4096 px. -1 (default): chosen automatically.",
        "How much counts. From 0 to 1, default 1.",
        "Where the colours come from. auto (default): what the model needs.",
        "Draw the latent. Default off.",
        "What is seen. Empty (default): the model's own.",
    ]


def test_another_default_is_said_as_well(adapter: Any) -> None:
    (scale,) = adapter.option_inputs(Sample, ["scale"], default=4.0, optional=True)
    assert (scale.default, scale.optional) == (4.0, True)
    assert scale.tooltip == "Enlargement. From 0.1 to 16, default 4. 0: the model's own."


@pytest.mark.parametrize(
    ("name", "widget", "value"),
    [
        *(("scale", 0.0, None), ("scale", 4.0, 4.0), ("overlap", -1, None), ("overlap", 0, 0)),
        *(("fix", "auto", None), ("fix", "lab", "lab"), ("prompt", " \n", None), ("prompt", " a face ", "a face")),
    ],
)
def test_widgets_give_the_options_back(adapter: Any, name: str, widget: Any, value: Any) -> None:
    assert adapter.given_options(Sample, {name: widget, "image": object()}) == {name: value}
