"""The workflow that comes with the pack, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from harness.page import ComfyPage
from support.client import ComfyClient
from support.paths import WORKFLOW
from support.portrait import read_workflow
from support.workflow import to_prompt

RUN_SECONDS = 600


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
    assert upscale["widgets_values"].pop() == 0.0  # grain, the newest

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
