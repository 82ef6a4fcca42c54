"""What reaches a node through a link is checked by nobody but this pack: every value is used or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_headsup.headsup_core import Faces, HeadsUpError, RestoreOptions
from comfyui_headsup.headsup_core.option_fields import declared_options
from comfyui_headsup.nodes.bridge.input_kinds import checked
from comfyui_headsup.nodes.bridge.pictures import Pictures, mask_planes, prompt_states

NOBODY = Faces(((),), 64, 64)


@dataclass(frozen=True)
class Declared:
    """An input of a schema, as ComfyUI's classes have it."""

    kind: str
    min: float | None = None
    max: float | None = None
    optional: bool = False
    id: str = "value"

    def get_io_type(self) -> str:
        return self.kind


def node_with(declared: Declared, lists: bool) -> Any:
    schema = SimpleNamespace(inputs=[declared], is_input_list=lists)

    class Node:
        SCHEMA = schema

        @classmethod
        @checked
        def execute(cls, value: object) -> str:
            del value
            return "done"

    return Node


VALUES: list[Any] = [
    *(math.nan, math.inf, -math.inf, -1, -1.5, 0, 1, 1e300, 2**70, -(2**70), True, None),
    *("", "x", "4", "\0", b"4", [], [4], {}, (), torch.tensor(2.0), torch.zeros(2)),
]
SHAPES = [(), (0,), (3,), (4, 4), (4, 4, 3), (1, 4, 4, 0), (1, 4, 4, 2), (1, 4, 4, 5), (1, 0, 4, 3), (1, 1, 4, 4, 3)]
KINDS = [torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64]


def refused(use: Callable[..., object], *arguments: object, **named: Any) -> bool:
    """Whether `use` refuses it as the pack refuses; any other error fails the test."""
    try:
        use(*arguments, **named)
    except HeadsUpError:
        return True
    return False


@pytest.mark.parametrize("name", declared_options(RestoreOptions))
def test_options_of_any_kind_are_used_or_refused(name: str) -> None:
    outcomes = [refused(RestoreOptions, **{name: value}) for value in VALUES]
    assert any(outcomes)


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_of_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    assert refused(Pictures.from_image, torch.zeros(shape))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_pictures_of_any_number_are_used_or_refused(kind: torch.dtype) -> None:
    refused(Pictures.from_image, torch.ones(1, 4, 4, 3, dtype=kind))
    refused(mask_planes, torch.ones(1, 4, 4, dtype=kind), 1)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_no_picture_is_refused(value: Any) -> None:
    assert refused(Pictures.from_image, value)
    assert refused(mask_planes, value, 1)
    assert refused(prompt_states, value)


INPUTS: dict[str, tuple[Declared, Callable[[Any], bool]]] = {
    "INT": (Declared("INT", 1, 8), lambda value: isinstance(value, int) and 1 <= value <= 8),
    "FLOAT": (Declared("FLOAT", 0.0, 1.0), lambda value: isinstance(value, (int, float)) and 0 <= value <= 1),
    "BOOLEAN": (Declared("BOOLEAN"), lambda value: isinstance(value, int)),
    "STRING": (Declared("STRING"), lambda value: isinstance(value, str)),
    "COMBO": (Declared("COMBO"), lambda value: isinstance(value, str)),
    "HEADSUP_FACES": (Declared("HEADSUP_FACES"), lambda value: value is NOBODY),
    "HEADSUP_IDENTITIES": (Declared("HEADSUP_IDENTITIES"), lambda value: value in ((), [])),
    "HEADSUP_MODEL": (Declared("HEADSUP_MODEL"), lambda _: False),
    "HEADSUP_IDFSR_MODEL": (Declared("HEADSUP_IDFSR_MODEL"), lambda _: False),
    "HEADSUP_FACE_ANALYZER": (Declared("HEADSUP_FACE_ANALYZER"), lambda _: False),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("lists", [False, True])
def test_a_node_gets_what_its_schema_names(kind: str, lists: bool) -> None:
    declared, fits = INPUTS[kind]
    node = node_with(declared, lists)
    outcomes: set[bool] = set()
    for value in [*VALUES, NOBODY]:
        wrong = isinstance(value, torch.Tensor) or not fits(value)
        outcomes.add(wrong)
        assert refused(node.execute, value=[value] if lists else value) == wrong, value
    assert True in outcomes


def test_what_is_optional_may_be_none() -> None:
    assert node_with(Declared("INT", 1, 8, optional=True), False).execute(value=None) == "done"
    assert node_with(Declared("IMAGE"), False).execute(value="looked at by the node itself") == "done"
