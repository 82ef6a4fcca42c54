"""Which text belongs to which picture of lists of batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_headsup.headsup_core import InputError
from comfyui_headsup.headsup_core.restoring.options import PictureText
from comfyui_headsup.nodes.upscaling.picture_lists import calls_of


def batches(*sizes: int) -> list[torch.Tensor]:
    return [torch.zeros(size, 2, 2, 3) for size in sizes]


def told(call: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    return [(text.prompt, text.tags) for text in call.get("texts", ())]


def test_a_text_for_each_picture_of_a_batch() -> None:
    (call,) = calls_of({"image": batches(3), "scale": [2.0], "tags": ["a", "b", "c"], "prompt": ["p"]})
    assert call["texts"] == (PictureText(tags="a"), PictureText(tags="b"), PictureText(tags="c"))
    assert call["prompt"] == "p"
    assert call["scale"] == 2.0


def test_texts_go_on_over_batches() -> None:
    calls = list(calls_of({"image": batches(2, 1), "tags": ["a", "b", "c"], "prompt": ["p", "q", "r"]}))
    assert [told(call) for call in calls] == [[("p", "a"), ("q", "b")], [("r", "c")]]


def test_a_text_for_each_batch() -> None:
    calls = list(calls_of({"image": batches(2, 2), "tags": ["a", "b"], "scale": [1.0, 2.0]}))
    assert [(call["tags"], call["scale"], "texts" in call) for call in calls] == [("a", 1.0, False), ("b", 2.0, False)]


def test_other_lists_repeat_their_last_element() -> None:
    calls = list(calls_of({"image": batches(1, 1, 1), "scale": [1.0, 2.0], "tags": ["a"], "prompt": []}))
    assert [call["scale"] for call in calls] == [1.0, 2.0, 2.0]
    assert [call["tags"] for call in calls] == ["a"] * 3
    assert all("prompt" not in call for call in calls)


def test_one_picture_at_several_settings() -> None:
    calls = list(calls_of({"image": batches(1), "tags": ["a", "b"], "strength": [0.5, 1.0]}))
    assert [(call["tags"], call["strength"]) for call in calls] == [("a", 0.5), ("b", 1.0)]


@pytest.mark.parametrize(("sizes", "texts"), [((3,), 2), ((2, 2), 3), ((1, 1, 1), 2)])
def test_other_numbers_of_texts_are_refused(sizes: tuple[int, ...], texts: int) -> None:
    with pytest.raises(InputError) as caught:
        list(calls_of({"image": batches(*sizes), "tags": ["x"] * texts}))
    assert f"{texts} texts" in str(caught.value)
    assert f"{sum(sizes)} pictures" in str(caught.value)
