"""The browser harness does what the other tests rely on, with ComfyUI's own nodes."""

from __future__ import annotations

import pytest
from harness.graph import Graph
from harness.page import ComfyPage
from support.client import ComfyClient
from support.workflow import to_prompt


@pytest.fixture
def scaling_page(comfy_page: ComfyPage) -> ComfyPage:
    """The page with a workflow of ComfyUI's own nodes, among them a seed with its extra widget and an upload."""
    graph = Graph()
    loaded = graph.add("LoadImage", image="headsup_sample.png")
    scaled = graph.add("ImageScale", image=loaded[0], upscale_method="area", width=64, height=48, crop="center")
    graph.add("SaveImage", images=scaled[0], filename_prefix="browser")
    graph.add("HarnessSlow", steps=3, seed=5)
    comfy_page.load_prompt(graph.prompt, "scaling")
    return comfy_page


def test_core_workflow_runs_in_the_page(scaling_page: ComfyPage) -> None:
    scaling_page.run()

    (image,) = scaling_page.wait_for_images("SaveImage", seconds=30)

    assert image["filename"].startswith("browser")
    assert scaling_page.problems() == []
    assert scaling_page.errors == []


def test_converter_gives_what_the_page_queues(scaling_page: ComfyPage, client: ComfyClient) -> None:
    workflow = scaling_page.page.evaluate("() => window.app.graph.serialize()")

    assert to_prompt(workflow, client.object_info()) == scaling_page.prompt()


def test_missing_node_is_noticed(scaling_page: ComfyPage) -> None:
    workflow = scaling_page.page.evaluate("() => window.app.graph.serialize()")
    next(node for node in workflow["nodes"] if node["type"] == "ImageScale")["type"] = "NoSuchNode"

    scaling_page.load_workflow(workflow, "broken")

    assert "NoSuchNode" not in scaling_page.known_types()
    assert scaling_page.problems()
