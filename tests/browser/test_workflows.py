"""The workflows and the subgraph blueprint that come with the pack, opened in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from harness.graph import ENCODE
from harness.page import ComfyPage, skip_welcome
from harness.workflows import APPS, BLUEPRINTS, GRAPHS, NAMES, NOTES, workflow, write_pictures
from playwright.sync_api import Browser
from support.client import ComfyClient
from support.server import ComfyServer
from support.workflow import to_prompt

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
TITLE = 30  # pixels of a node's title, which lies above its position
INPUT_NODE, OUTPUT_NODE = -10, -20  # ids that the page gives to a subgraph's own ends
WINDOW = {"width": 2400, "height": 1300}
SHOW_ALL = """() => {
    const canvas = window.app.canvas, nodes = window.app.graph.nodes
    const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1]))
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]))
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]))
    canvas.ds.scale = Math.min(2000 / (right - left), 1000 / (bottom - top), 1)
    canvas.ds.offset = [120 / canvas.ds.scale - left, 150 / canvas.ds.scale - top]
    canvas.setDirty(true, true)
}"""


BOXES = """() => [...document.querySelectorAll('[data-node-id]')].map(box => {
    const {x, y, width, height} = box.getBoundingClientRect()
    return [window.app.graph.getNodeById(Number(box.dataset.nodeId))?.title, x, y, width, height]
}).filter(box => box[3] > 20)"""
WIRES = """() => [...window.app.graph.links.values()].map(link => {
    const from = window.app.graph.getNodeById(link.origin_id), to = window.app.graph.getNodeById(link.target_id)
    const points = []
    for (let id = link.parentId; id !== undefined; id = window.app.graph.reroutes.get(id)?.parentId)
        points.unshift([...window.app.graph.reroutes.get(id).pos])
    return [[from.pos[0] + from.size[0], from.getConnectionPos(false, link.origin_slot)[1]], ...points,
            [to.pos[0], to.getConnectionPos(true, link.target_slot)[1]]]
})"""
SLOTS = """() => Object.fromEntries(window.app.graph.nodes.filter(node => node.type.startsWith('HeadsUp')).map(
    node => [node.id, node.inputs.map(input => input.name)]))"""
SWITCH = "async on => await window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"


@pytest.fixture(scope="module")
def page(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    """One page for all workflows, on a server with all files that they name."""
    write_pictures(comfy_server.base / "input")
    checkpoint = comfy_server.base / "models" / "checkpoints" / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.touch()  # the page only wants its name
    skip_welcome(comfy_server.base)
    context = browser.new_context(viewport=WINDOW)
    yield ComfyPage(context.new_page(), comfy_server.address)
    context.close()
    checkpoint.unlink()


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_opens_without_a_problem(name: str, page: ComfyPage, client: ComfyClient, artifacts: Path) -> None:
    drawn = workflow(name)

    page.load_workflow(drawn, name)
    page.page.evaluate(SHOW_ALL)
    page.settle()
    page.screenshot(artifacts / f"workflow-{name}.png")

    assert sorted(page.node_types()) == sorted(node["type"] for node in drawn["nodes"])
    assert set(page.node_types()) <= page.known_types() | NOTES
    assert page.prompt() == to_prompt(drawn, client.object_info())  # every widget has the value that the file gives it
    ours = [node for node in drawn["nodes"] if node["type"].startswith("HeadsUp")]
    assert page.page.evaluate(SLOTS) == {str(n["id"]): [entry["name"] for entry in n["inputs"]] for n in ours}
    assert page.problems() == []
    assert page.errors == []
    assert overlaps(page) == []
    assert wires_behind_nodes(page) == []


def test_nothing_overlaps_in_nodes_2(page: ComfyPage, artifacts: Path) -> None:
    """There boxes are taller. The app is the same graph, and opens as an app."""
    page.page.evaluate(SWITCH, True)
    try:
        found: dict[str, list[tuple[str, str]]] = {}
        for name in GRAPHS:
            drawn = workflow(name)
            page.load_workflow(drawn, name)
            page.page.evaluate(SHOW_ALL)
            nodes = len(drawn["nodes"])
            page.page.wait_for_function(f"() => ({BOXES})().length >= {nodes}", timeout=60_000)
            page.settle()
            page.screenshot(artifacts / f"workflow-2-{name}.png")
            boxes = page.page.evaluate(BOXES)
            pairs = combinations(boxes, 2)
            found[name] = [(a[0], b[0]) for a, b in pairs if overlap(a[1:], b[1:], title=0)]
        page.load_workflow(workflow(APPS[-1]), APPS[-1])
        page.page.get_by_text("person_strength").locator("visible=true").first.wait_for(timeout=60_000)
        page.screenshot(artifacts / "app.png")
    finally:
        page.page.evaluate(SWITCH, False)

    assert {name: pairs for name, pairs in found.items() if pairs} == {}
    assert page.errors == []


def wires_behind_nodes(page: ComfyPage) -> list[tuple[str, float, float]]:
    """Nodes behind which a wire runs, with a point of it: wires are taken as straight between their bends."""
    nodes = page.page.evaluate("() => window.app.graph.nodes.map(n => [n.title, ...n.pos, ...n.size])")
    behind: list[tuple[str, float, float]] = []
    for wire in page.page.evaluate(WIRES):
        for (x0, y0), (x1, y1) in pairwise(wire):
            for part in range(1, 20):
                x, y = x0 + (x1 - x0) * part / 20, y0 + (y1 - y0) * part / 20
                behind += [
                    (title, x, y)
                    for title, left, top, width, height in nodes
                    if left < x < left + width and top - TITLE < y < top + height
                ]
    return behind


def overlaps(page: ComfyPage) -> list[tuple[str, str]]:
    """The pairs of nodes of which one lies over the other, as large as the page makes them."""
    nodes = page.page.evaluate("() => window.app.graph.nodes.map(n => [n.title, ...n.pos, ...n.size])")
    return [(a[0], b[0]) for a, b in combinations(nodes, 2) if overlap(a[1:], b[1:])]


def overlap(a: list[float], b: list[float], title: float = TITLE) -> bool:
    """Whether two nodes (x, y, width, height), with their titles above, overlap."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] - title < b[1] + b[3] and b[1] - title < a[1] + a[3]


def test_template_browser_shows_all_and_asks_for_their_pictures(page: ComfyPage, artifacts: Path) -> None:
    """The pictures do not come here: aiohttp serves no folder with a space in its name, as this pack's is."""
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.evaluate("() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    dialog = page.page.get_by_role("dialog")
    for name in NAMES:
        dialog.get_by_text(name, exact=True).first.wait_for(timeout=300_000)
    page.settle()
    page.screenshot(artifacts / "templates.png")
    page.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden", timeout=300_000)
    page.errors.clear()  # of the pictures

    assert {name for name in NAMES if any(f"/{name}.jpg" in unquote(url) for url in asked)} == set(NAMES)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_blueprint_is_offered_and_runs(path: Path, page: ComfyPage, client: ComfyClient, artifacts: Path) -> None:
    ((number, entry),) = [item for item in client.get("/global_subgraphs").items() if item[1]["name"] == path.stem]
    served = json.loads(client.get(f"/global_subgraphs/{number}")["data"])
    (inside,) = served["definitions"]["subgraphs"]

    page.load_workflow(served, path.stem)
    page.screenshot(artifacts / "blueprint.png")
    prompt = page.prompt()

    assert entry["info"]["node_pack"].startswith("custom_nodes.")
    assert page.problems() == []
    assert page.errors == []
    closed = served["nodes"][0]["id"]
    assert {name: node["class_type"] for name, node in prompt.items()} == {
        f"{closed}:{node['id']}": node["type"] for node in inside["nodes"]
    }
    prompt |= {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "headsup_group.jpg"}},
        "person": {"class_type": "LoadImage", "inputs": {"image": "headsup_person_1.jpg"}},
        "known": {"class_type": "HeadsUpEncodeIdentity", "inputs": ENCODE | {"photos": ["person", 0]}},
    }
    for link in inside["links"]:
        if link["origin_id"] == INPUT_NODE:
            target = next(node for node in inside["nodes"] if node["id"] == link["target_id"])
            name = target["inputs"][link["target_slot"]]["name"]
            prompt[f"{closed}:{target['id']}"]["inputs"][name] = {"image": ["photo", 0], "identities": ["known", 0]}[
                name
            ]
        if link["target_id"] == OUTPUT_NODE and link["type"] == "IMAGE":
            source = [f"{closed}:{link['origin_id']}", link["origin_slot"]]
            prompt[f"shown {link['id']}"] = {"class_type": "PreviewImage", "inputs": {"images": source}}
    result = client.run(prompt)

    assert result.status == "success", result.error
    assert len([shown for node, shown in result.outputs.items() if node.startswith("shown") and shown["images"]]) == 3
