"""What a node has to say, or why it failed, stands on it until it runs again; the former comes back from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.graph import Graph
from harness.page import ComfyPage
from PIL import Image
from support.sample import NAME
from support.server import ComfyServer

RUN_SECONDS = 600
pytestmark = pytest.mark.timeout(3 * RUN_SECONDS)  # three runs, each of which a busy machine may take minutes for
FEW_LINES = 110  # pixels
WALL = "message-wall.png"
SAID = "no face was found in the 1 photo of person 1"
NO_FACE = "no face was found in 1 of 1 pictures"
BOXES = "() => [...document.querySelectorAll('.headsup-message')].map(box => box.textContent)"
HEIGHTS = "() => [...document.querySelectorAll('.headsup-message')].map(box => [box.offsetHeight, box.scrollHeight])"
NODES_2 = "async on => await window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
FORGET = """() => {
    const node = window.app.graph.nodes.find(node => node.headsupMessage)
    node.widgets.splice(node.widgets.indexOf(node.headsupMessage.widget), 1)[0].onRemove?.()
    delete node.headsupMessage
}"""


def said(page: ComfyPage, messages: int) -> list[str]:
    """What stands on the nodes, once there are so many messages."""
    page.page.wait_for_function(f"() => ({BOXES})().length === {messages}", timeout=RUN_SECONDS * 1000)
    return page.page.evaluate(BOXES)


def as_tall_as_its_text(page: ComfyPage) -> bool:
    """Whether the one message is neither cut off nor taller than a text of a few lines."""
    ((shown, whole),) = page.page.evaluate(HEIGHTS)
    return shown == whole <= FEW_LINES


@pytest.fixture
def wall(comfy_server: ComfyServer) -> None:
    """A picture without a face, there before the page lists the pictures."""
    Image.new("RGB", (64, 64), "grey").save(comfy_server.base / "input" / WALL)


@pytest.mark.usefixtures("wall")
def test_message_stays_comes_back_and_goes(comfy_page: ComfyPage) -> None:
    graph = Graph()
    photo, grey = (graph.add("LoadImage", image=name) for name in (NAME, WALL))
    shown = {"photos.photo_1": grey[0]}
    node = graph.add(
        "HeadsUpFaceRestorePortrait", image=photo[0], scale=1.0, person_strength=1.0, identity_gate="on", **shown
    )
    graph.add("PreviewImage", images=node[0])
    comfy_page.load_prompt(graph.prompt, "message")
    assert comfy_page.prompt()[node.id]["inputs"] == graph.prompt[node.id]["inputs"]

    comfy_page.run()
    comfy_page.wait_for_images("PreviewImage", RUN_SECONDS)
    comfy_page.settle()  # the page wipes what was said while the job ran
    assert [text[: len(SAID)] for text in said(comfy_page, 1)] == [SAID]

    assert as_tall_as_its_text(comfy_page)
    comfy_page.page.evaluate(NODES_2, True)
    comfy_page.settle()
    assert as_tall_as_its_text(comfy_page)
    comfy_page.page.evaluate(NODES_2, False)

    comfy_page.page.evaluate(FORGET)
    assert said(comfy_page, 0) == []
    comfy_page.run()  # everything comes from the cache
    assert [text[: len(SAID)] for text in said(comfy_page, 1)] == [SAID]

    comfy_page.page.evaluate(  # the reason goes, and with it the message
        """name => {
            const node = window.app.graph.nodes.find(node => node.type === 'HeadsUpFaceRestorePortrait')
            node.disconnectInput(node.inputs.findIndex(input => input.name === name))
        }""",
        "photos.photo_1",
    )
    comfy_page.run()
    assert said(comfy_page, 0) == []
    assert comfy_page.errors == []


@pytest.mark.usefixtures("wall")
def test_why_a_node_failed_stands_on_it_until_the_next_run(comfy_page: ComfyPage, artifacts: Path) -> None:
    graph = Graph()
    photo = graph.add("LoadImage", image=WALL)
    graph.add("PreviewAny", source=graph.encode(photo[0])[2])
    comfy_page.load_prompt(graph.prompt, "failure")

    comfy_page.run()
    (text,) = said(comfy_page, 1)
    assert text.startswith(NO_FACE)
    comfy_page.screenshot(artifacts / "failure.png")
    comfy_page.page.evaluate(NODES_2, True)
    comfy_page.settle()
    assert as_tall_as_its_text(comfy_page)
    comfy_page.screenshot(artifacts / "failure-2.png")
    comfy_page.page.evaluate(NODES_2, False)

    comfy_page.page.evaluate(
        "name => { window.app.graph.nodes.find(node => node.type === 'LoadImage').widgets[0].value = name }", NAME
    )
    comfy_page.run()
    assert said(comfy_page, 0) == []
