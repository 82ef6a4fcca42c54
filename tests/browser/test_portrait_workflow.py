"""The workflow that comes with the pack, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.graph import Graph
from harness.page import ComfyPage, skip_welcome
from playwright.sync_api import Browser
from support.client import ComfyClient
from support.paths import WORKFLOW
from support.portrait import read_workflow
from support.sample import NAME
from support.server import ComfyServer
from support.workflow import to_prompt

RUN_SECONDS = 600
LABELS = """() => window.app.graph.nodes.find(node => node.type === 'HeadsUpFaceRestorePortrait').inputs
    .filter(input => input.name.includes('.')).map(input => [input.name, input.label])"""
RENAME = """() => {
    const node = window.app.graph.nodes.find(node => node.type === 'HeadsUpFaceRestorePortrait')
    node.inputs.find(input => input.name === 'photos.photo_1').label = 'me'
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


def opened(browser: Browser, server: ComfyServer, language: str) -> ComfyPage:
    """The page of a user who chose a language."""
    skip_welcome(server.base)
    settings = server.base / "user" / "default" / "comfy.settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"Comfy.Locale": language}))
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(120_000)
    return ComfyPage(context.new_page(), server.address)


def test_sockets_that_grow_are_called_in_the_pages_language(
    browser: Browser, comfy_server: ComfyServer, artifacts: Path
) -> None:
    """Their names in prompts stay, and so does a name that the user gave."""
    graph = Graph()
    photo = graph.add("LoadImage", image=NAME)
    inputs = {"image": photo[0], "photos.photo_1": photo[0]}
    graph.add("HeadsUpFaceRestorePortrait", scale=1.0, person_strength=1.0, identity_gate="on", **inputs)

    chinese = opened(browser, comfy_server, "zh")
    chinese.load_prompt(graph.prompt, "chinese")
    chinese.screenshot(artifacts / "sockets-zh.png")
    labels = chinese.page.evaluate(LABELS)
    chinese.page.evaluate(RENAME)
    saved = chinese.page.evaluate("() => window.app.graph.serialize()")
    chinese.page.context.close()
    english = opened(browser, comfy_server, "en")
    english.load_workflow(saved, "english")
    renamed = english.page.evaluate(LABELS)
    english.page.context.close()

    assert labels == [
        ["photos.photo_1", "照片 1"],
        ["photos.photo_2", "照片 2"],
        *([f"person_{n}.person_{n}_photo_1", f"人物 {n} 照片 1"] for n in (2, 3, 4)),
    ]
    assert renamed == [
        ["photos.photo_1", "me"],
        ["photos.photo_2", "photo_2"],
        *([f"person_{n}.person_{n}_photo_1", f"person_{n}_photo_1"] for n in (2, 3, 4)),
    ]
