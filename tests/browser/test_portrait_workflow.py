"""The workflow that comes with the pack, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.page import ComfyPage
from support.client import ComfyClient
from support.paths import WORKFLOW
from support.portrait import read_workflow
from support.workflow import to_prompt

RUN_SECONDS = 600
LANGUAGE = "async language => await window.app.extensionManager.setting.set('Comfy.Locale', language)"
ADD = """async language => {
    await window.app.extensionManager.setting.set('Comfy.Locale', language)
    window.app.graph.clear()
    window.app.graph.add(window.LiteGraph.createNode('HeadsUpFaceRestorePortrait'))
}"""
CONNECT = """name => {
    const photo = window.LiteGraph.createNode('LoadImage'), node = window.app.graph.nodes[0]
    window.app.graph.add(photo)
    photo.connect(0, node, node.inputs.findIndex(input => input.name === name))
}"""


@pytest.fixture
def workflow() -> dict[str, Any]:
    """workflows/Restore a portrait.json."""
    return read_workflow()


def test_page_knows_the_nodes(comfy_page: ComfyPage) -> None:
    assert {"HeadsUpLoadModel", "HeadsUpUpscale", "HeadsUpFaceRestorePortrait"} <= comfy_page.known_types()
    assert comfy_page.errors == []


def test_workflow_saved_before_an_input_existed_gets_its_default(comfy_page: ComfyPage, client: ComfyClient) -> None:
    workflow = read_workflow(WORKFLOW.with_stem("Restore an old scan"))
    prompt = to_prompt(workflow, client.object_info())
    upscale = next(node for node in workflow["nodes"] if node["type"] == "HeadsUpUpscale")
    assert upscale["widgets_values"].pop() == "pad"  # sizing, the newest

    comfy_page.load_workflow(workflow, "old scan")

    assert comfy_page.prompt() == prompt
    assert comfy_page.problems() == []


def test_run_on_a_fresh_install_gives_an_image(comfy_page: ComfyPage, workflow: dict[str, Any]) -> None:
    comfy_page.load_workflow(workflow, "portrait")

    comfy_page.run()
    images = comfy_page.wait_for_images("SaveImage", RUN_SECONDS)
    comfy_page.settle()  # for the screenshot: the pictures are drawn

    assert len(images) == 1
    assert comfy_page.problems() == []
    assert comfy_page.errors == []


def test_sockets_that_grow_are_called_in_the_pages_language(comfy_page: ComfyPage, artifacts: Path) -> None:
    """Their names in prompts stay, and so does a name that the user gave."""
    page = comfy_page.page
    labels = "() => window.app.graph.nodes[0].inputs.filter(i => i.name.includes('.')).map(i => [i.name, i.label])"
    page.evaluate(ADD, "en")
    assert page.evaluate(labels) == [
        ["photos.photo_1", "photo_1"],
        *([f"person_{n}.person_{n}_photo_1", f"person_{n}_photo_1"] for n in (2, 3, 4)),
    ]

    page.evaluate(ADD, "zh")
    page.evaluate(CONNECT, "photos.photo_1")
    page.wait_for_function(f"() => ({labels})().length === 5", timeout=60_000)
    comfy_page.screenshot(artifacts / "sockets-zh.png")

    assert page.evaluate(labels) == [
        ["photos.photo_1", "照片 1"],
        ["photos.photo_2", "照片 2"],
        *([f"person_{n}.person_{n}_photo_1", f"人物 {n} 照片 1"] for n in (2, 3, 4)),
    ]
    page.evaluate("() => { window.app.graph.nodes[0].inputs.find(i => i.name === 'photos.photo_1').label = 'me' }")
    saved = page.evaluate("() => window.app.graph.serialize()")
    page.evaluate(LANGUAGE, "en")
    comfy_page.load_workflow(saved, "renamed")
    assert [label for _name, label in page.evaluate(labels)][:2] == ["me", "photo_2"]
