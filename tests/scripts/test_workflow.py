"""The converter of workflows: what the browser does, done by hand for small cases.

That it agrees with the browser is tested in tests/browser.
"""

from __future__ import annotations

from typing import Any

import pytest
from harness.refusals import raises_naming
from support.workflow import WorkflowError, to_prompt

SCHEMAS: dict[str, Any] = {
    "Load": {
        "display_name": "Load Picture",
        "input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}], "frame": ["INT", {}]}},
        "input_order": {"required": ["image", "frame"]},
    },
    "Sample": {
        "input": {
            # the order of `input` is not the order of the widgets: `input_order` is
            "required": {"strength": ["FLOAT", {}], "image": ["IMAGE"], "seed": ["INT", {"default": 0}]},
            "optional": {"text": ["STRING", {}], "hint": ["STRING", {"forceInput": True}], "mode": ["COMBO", {}]},
        },
        "input_order": {"required": ["image", "seed", "strength"], "optional": ["text", "hint", "mode"]},
    },
    "Plain": {"input": {"required": {"image": ["IMAGE"], "seed": ["INT", {"control_after_generate": False}]}}},
}


def node(number: int, kind: str, **entries: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, **entries}


def test_values_go_to_their_inputs_and_page_values_are_left_out() -> None:
    workflow = {
        "nodes": [
            node(1, "Load", widgets_values=["b.png", 3, "image"]),
            node(
                2,
                "Sample",
                title="My sampler",
                widgets_values=[42, "randomize", 0.5, "a text", "fast"],
                inputs=[{"name": "image", "link": 7}, {"name": "hint", "link": None}],
            ),
        ],
        "links": [[7, 1, 0, 2, 0, "IMAGE"]],
    }

    assert to_prompt(workflow, SCHEMAS) == {
        "1": {
            "class_type": "Load",
            "inputs": {"image": "b.png", "frame": 3},
            "_meta": {"title": "Load Picture"},
        },
        "2": {
            "class_type": "Sample",
            "inputs": {"image": ["1", 0], "seed": 42, "strength": 0.5, "text": "a text", "mode": "fast"},
            "_meta": {"title": "My sampler"},
        },
    }


def test_link_wins_over_the_widget_that_it_feeds() -> None:
    workflow = {
        "nodes": [
            node(1, "Load", widgets_values=["a.png", 0, "image"]),
            node(
                2,
                "Plain",
                widgets_values=[5],
                inputs=[{"name": "image", "link": 1}, {"name": "seed", "link": 2, "widget": {"name": "seed"}}],
            ),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 1, 2, 1, "INT"]],
    }

    assert to_prompt(workflow, SCHEMAS)["2"]["inputs"] == {"image": ["1", 0], "seed": ["1", 1]}


def test_reroutes_are_followed_and_notes_and_muted_nodes_left_out() -> None:
    workflow = {
        "nodes": [
            node(1, "Load", widgets_values=["a.png", 0, "image"]),
            node(3, "Reroute", inputs=[{"name": "", "link": 1}]),
            node(4, "Reroute", inputs=[{"name": "", "link": 2}]),
            node(2, "Plain", widgets_values=[5], inputs=[{"name": "image", "link": 3}]),
            node(5, "MarkdownNote", widgets_values=["hello"]),
            node(6, "Plain", mode=2, widgets_values=[5], inputs=[{"name": "image", "link": None}]),
        ],
        "links": [[1, 1, 0, 3, 0, "*"], [2, 3, 0, 4, 0, "*"], [3, 4, 0, 2, 0, "*"]],
    }

    prompt = to_prompt(workflow, SCHEMAS)

    assert set(prompt) == {"1", "2"}
    assert prompt["2"]["inputs"]["image"] == ["1", 0]


def test_links_and_values_by_name_of_the_newer_format() -> None:
    workflow = {
        "nodes": [
            node(1, "Load", widgets_values={"image": "a.png", "frame": 1, "videopreview": {}}),
            node(2, "Plain", widgets_values=[5], inputs=[{"name": "image", "link": 9}]),
        ],
        "links": [{"id": 9, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "IMAGE"}],
    }

    prompt = to_prompt(workflow, SCHEMAS)

    assert prompt["1"]["inputs"] == {"image": "a.png", "frame": 1}
    assert prompt["2"]["inputs"] == {"image": ["1", 0], "seed": 5}


def test_optional_values_that_a_file_lacks_are_left_to_their_defaults() -> None:
    older = {"nodes": [node(2, "Sample", widgets_values=[42, "fixed", 0.5])], "links": []}

    assert to_prompt(older, SCHEMAS)["2"]["inputs"] == {"seed": 42, "strength": 0.5}


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (node(8, "Nowhere"), ("node 8", "Nowhere")),
        (node(8, "Plain", mode=4, widgets_values=[5]), ("node 8", "Plain", "bypassed")),
        (node(8, "Sample", widgets_values=[42]), ("node 8", "Sample", 1, "strength")),
    ],
)
def test_what_cannot_be_converted_is_named(bad: dict[str, Any], named: tuple[object, ...]) -> None:
    with raises_naming(WorkflowError, *named):
        to_prompt({"nodes": [bad], "links": []}, SCHEMAS)
