"""What reaches a node through a link is checked by nobody but this pack: every value is used or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_headsup.headsup_core import HeadsUpError, RestoreOptions
from comfyui_headsup.headsup_core.option_fields import declared_options
from comfyui_headsup.nodes.bridge.pictures import Pictures, mask_planes, prompt_states

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
