"""Help pages and Chinese words in a real browser. The pictures of the help pages are taken here:

scripts/test browser -k pictures --update-snapshot
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.executor import HARNESS_PACK, TEST_ENVIRONMENT
from harness.graph import Graph, Node
from harness.page import ComfyPage, skip_welcome
from harness.people import astronaut_photo
from PIL import Image
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PageTimeoutError
from support.client import ComfyClient
from support.comfyui import CURRENT, ensure_comfyui
from support.pack import copy_as_cloned
from support.paths import PACK_NAME, ROOT
from support.sample import NAME, write_sample
from support.server import ComfyServer, link_pack, make_base_directory
from support.texts import CHINESE, english_words, our_nodes

from headsup_core.faces import load_face_analyzer
from headsup_core.identity import encode_identity, save_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = ROOT / "web" / "docs"
RUN_SECONDS = 600
SECONDS = 1800
PATIENCE_MS = 40_000
MARGIN = 14
TITLE_HEIGHT = 46
"""Height of the title and the badge above it."""
PHOTO = "astronaut.png"
SAVED = "Eileen Collins"
NODE_WIDTH = 310
"""In canvas units: the page shows help some 300 px wide, so pictures of this width can be read there."""
PLACE = (580, 220)
"""Where a node stands alone on the canvas, in pixels of the page."""
SPACING = 1500
"""Canvas units between two pictures' nodes: no picture shows its neighbours."""


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[ComfyServer]:
    """ComfyUI with the pack in a folder of its own name: the page finds no help in folders with dots in their name."""
    pytest.importorskip("skimage")
    from skimage import data

    folder = tmp_path_factory.mktemp("plain")
    base = make_base_directory(folder / "base")
    link_pack(copy_as_cloned(folder / PACK_NAME), base, PACK_NAME)
    link_pack(HARNESS_PACK, base, "harness")
    write_sample(base / "input" / NAME)
    Image.fromarray(data.astronaut()).resize((320, 320), Image.Resampling.LANCZOS).save(base / "input" / PHOTO)
    person = encode_identity(astronaut_photo(), load_face_analyzer(), SAVED)
    save_identity(base / "output" / "headsup" / "identities", person)
    skip_welcome(base)
    log = artifacts / "comfyui-server-help.log"
    environment = {**TEST_ENVIRONMENT, "HEADSUP_CACHE": str(base / "cache")}
    with ComfyServer(sys.executable, ensure_comfyui(CURRENT), base, log, cpu=True, env=environment) as server:
        yield server


@contextmanager
def opened(browser: Browser, server: ComfyServer, language: str) -> Iterator[ComfyPage]:
    """The page in a language, in a fresh profile."""
    settings = server.base / "user" / "default" / "comfy.settings.json"
    settings.write_text(json.dumps({"Comfy.TutorialCompleted": True, "Comfy.Locale": language}))
    context = browser.new_context(viewport={"width": 1600, "height": 1600})
    context.set_default_timeout(120_000)
    try:
        yield ComfyPage(context.new_page(), server.address)
    finally:
        context.close()


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def page(browser: Browser, plain_server: ComfyServer, artifacts: Path, language: str) -> Iterator[ComfyPage]:
    """The page for all tests in a language."""
    with opened(browser, plain_server, language) as page:
        yield page
        page.screenshot(artifacts / f"help-{language}.png")


def words(language: str, server: ComfyServer) -> dict[str, Any]:
    """The words of a language; English ones are the schemas'."""
    if language == "en":
        return english_words(our_nodes(ComfyClient(server.address).object_info()))
    return json.loads((ROOT / CHINESE).read_text(encoding="utf-8"))


def show(page: ComfyPage, node: str) -> None:
    """One node of a type, alone on the canvas."""
    page.page.evaluate(
        """([type, x, y]) => {
            const app = window.app
            app.graph.clear()
            // not an id that another node has left pictures or values for
            app.graph.last_node_id = window.lastShown = (window.lastShown ?? 9000) + 1
            const node = window.LiteGraph.createNode(type)
            app.graph.add(node)
            node.pos = [x, y]
            app.canvas.ds.scale = 1
            app.canvas.ds.offset = [0, 0]
            app.canvas.setDirty(true, true)
        }""",
        [node, *PLACE],
    )
    page.settle()


HELP_SHOWN = """name => {
    const help = document.querySelector('.node-help-content')
    if (help?.querySelector('h1')?.innerText.trim() !== name) return false
    const pictures = [...help.querySelectorAll('img')]
    return pictures.length && pictures.every(one => one.complete)
}"""


def open_help(page: ComfyPage, node: str, name: str) -> str:
    """The HTML of a node's help, as the info button above the selected node opens it, under the name of the node."""
    button = page.page.get_by_test_id("info-button").first
    for _ in range(3):  # the page, still starting, may put its own first workflow over the node
        show(page, node)
        page.page.mouse.click(PLACE[0] + 120, PLACE[1] - 15)  # its title
        try:
            button.click(timeout=PATIENCE_MS)
        except PageTimeoutError:
            continue
        break
    page.page.wait_for_function(HELP_SHOWN, arg=name)
    return page.page.locator(".node-help-content").first.inner_html()


@pytest.mark.timeout(SECONDS)
def test_help_opens_with_its_picture(page: ComfyPage, plain_server: ComfyServer, language: str) -> None:
    """As the node's info button shows it; every picture is loaded."""
    known = words(language, plain_server)
    for node in ("HeadsUpDetectFaces", "HeadsUpUpscale"):
        html = open_help(page, node, known[node]["display_name"])

        assert known[node]["display_name"] in html
        assert known[node]["outputs"]["0"]["name"] in html
        pictures = page.page.locator(".node-help-content img")
        assert pictures.count() >= 1
        widths = pictures.evaluate_all("images => images.map(image => image.naturalWidth)")
        assert min(widths) > 100


@pytest.mark.timeout(SECONDS)
def test_nodes_have_the_names_of_the_language(page: ComfyPage, plain_server: ComfyServer, language: str) -> None:
    """English ones without an English locale."""
    known = words(language, plain_server)
    page.errors.clear()
    shown = names(page, list(known))
    for node, expected in known.items():
        found = shown[node]
        assert found["title"] == expected["display_name"]
        # sockets that grow are called by their number
        grown = {key.split(".")[0] for key in found["inputs"] if "." in key}
        called = {key: value["name"] for key, value in expected["inputs"].items() if key not in grown}
        assert {**found["inputs"], **{k: v for k, v in found["widgets"].items() if v}}.items() >= called.items()
        assert found["outputs"] == [output["name"] for output in expected["outputs"].values()]
    assert page.errors == []


def names(page: ComfyPage, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """What nodes of all these types are called on the canvas, with their inputs, widgets and outputs."""
    page.page.evaluate(
        """types => {
            window.app.graph.clear()
            types.forEach((type, row) => {
                const node = window.LiteGraph.createNode(type)
                window.app.graph.add(node)
                node.pos = [0, row * 1000]
            })
        }""",
        nodes,
    )
    page.settle()
    return page.page.evaluate(
        """() => Object.fromEntries(window.app.graph.nodes.map(node => [node.type, {
            title: node.title,
            inputs: Object.fromEntries(node.inputs.map(one => [one.name, one.localized_name])),
            widgets: Object.fromEntries(node.widgets?.map(one => [one.name, one.label ?? one.name]) ?? []),
            outputs: node.outputs.map(one => one.localized_name),
        }]))"""
    )


def scenes(graph: Graph) -> dict[str, list[Node]]:
    """Node id -> the nodes that its picture shows, one below the other; each is connected and can run."""
    photo, small = graph.add("LoadImage", image=PHOTO), graph.add("LoadImage", image=NAME)
    model = graph.add("HeadsUpLoadModel", model="headsup-tiny (bundled)", dtype="auto", device="auto")
    analyzer = graph.analyzer()
    detect = graph.detect(photo[0])
    encode = graph.encode(photo[0], name="Eileen")
    save = graph.save_identity(encode[0])
    load = graph.add("HeadsUpLoadIdentity", identity=f"{SAVED}.safetensors (output)", name="")
    compare = graph.compare(image_a=small[0], identities_b=encode[0], no_face="error")
    shape = {"shape": "ellipse", "grow": 0.0, "which": ""}
    mask = graph.add("HeadsUpFacesToMask", faces=detect[0], feather=0.25, **shape)
    segs = graph.add("HeadsUpFacesToSEGS", faces=detect[0], image=photo[0], crop_factor=3.0, feather=0.0, **shape)
    found = graph.detect(small[0])
    assign = graph.add(
        "HeadsUpAssignIdentities", image=small[0], faces=found[0], identities=encode[0], threshold=0.4, override=""
    )
    inject = graph.add("HeadsUpInjectIdentity", model=model[0], identities=encode[0], strength=1.0, match_threshold=0.4)
    upscale = graph.upscale(inject[0], small[0], max_megapixels=100.0, tile=0, overlap=-1, tile_batch=0)
    group = graph.add("ImageScale", image=photo[0], upscale_method="area", width=384, height=384, crop="disabled")
    faces = graph.detect(group[0])
    plan = graph.plan(model[0], group[0], max_megapixels=100.0, tile=512, overlap=-1, tile_batch=0, faces=faces[0])
    warp = graph.add("HeadsUpWarpReference", image=small[0], faces=assign[0], reference=encode[0], size=256)
    return {
        "HeadsUpLoadModel": [model, graph.add("PreviewAny", source=model[1])],
        "HeadsUpLoadFaceAnalyzer": [analyzer, graph.add("PreviewAny", source=analyzer[1])],
        "HeadsUpDetectFaces": [detect, graph.add("PreviewAny", source=detect[4])],
        "HeadsUpEncodeIdentity": [encode, graph.add("PreviewAny", source=encode[2])],
        "HeadsUpSaveIdentity": [save],
        "HeadsUpLoadIdentity": [load, graph.add("PreviewAny", source=load[2])],
        "HeadsUpCompareIdentity": [compare, graph.add("PreviewAny", source=compare[1])],
        "HeadsUpFacesToMask": [mask, graph.add("MaskPreview", mask=mask[0])],
        "HeadsUpFacesToSEGS": [segs],
        "HeadsUpAssignIdentities": [assign, graph.add("PreviewAny", source=assign[2])],
        "HeadsUpInjectIdentity": [inject],
        "HeadsUpUpscale": [upscale, graph.add("PreviewImage", images=upscale[4])],
        "HeadsUpPlanUpscale": [plan, graph.add("PreviewAny", source=plan[1])],
        "HeadsUpWarpReference": [warp, graph.add("PreviewImage", images=warp[0])],
    }


NOT_RUN = (
    *("HeadsUpFaceRestorePortrait", "HeadsUpLoadIDFSR", "HeadsUpRestoreFacesIDFSR"),
    "HeadsUpTagImage",
)
"""Shown as they are put on the canvas."""

SHOWS = [
    *("HeadsUpDetectFaces", "HeadsUpEncodeIdentity", "HeadsUpLoadIdentity", "HeadsUpCompareIdentity"),
    *("HeadsUpAssignIdentities", "HeadsUpPlanUpscale", "HeadsUpUpscale", "MaskPreview", "PreviewImage"),
]
"""Nodes with a picture below their widgets; HeadsUp Upscale's is that of its progress."""

ARRANGE = """([scenes, shows, width, spacing]) => {
    const scene = Object.fromEntries(Object.entries(scenes).flatMap(([name, ids]) => ids.map(id => [id, name])))
    for (const link of [...window.app.graph.links.values()]) {
        const ends = [scene[link.origin_id], scene[link.target_id]]
        if (!ends[0] || ends[0] !== ends[1]) window.app.graph.removeLink(link.id)
    }
    Object.values(scenes).forEach((ids, column) => {
        let y = 0
        for (const id of ids) {
            const node = window.app.graph.getNodeById(id)
            const room = shows.includes(node.type) ? width - 20 : node.type === 'PreviewAny' ? 110 : 0
            node.setSize([width, node.computeSize()[1] + room])
            node.pos = [column * spacing, y]
            y += node.size[1] + 60
        }
    })
    const shown = new Set(Object.values(scenes).flat())
    window.app.graph.nodes.filter(node => !shown.has(String(node.id))).forEach((node, index) => {
        node.pos = [-3000, index * 500]
    })
}"""
LOOK = """([ids, margin, title]) => {
    const canvas = window.app.canvas
    const nodes = ids.map(id => window.app.graph.getNodeById(id))
    const left = Math.min(...nodes.map(node => node.pos[0]))
    const top = Math.min(...nodes.map(node => node.pos[1])) - title
    const right = Math.max(...nodes.map(node => node.pos[0] + node.size[0]))
    const bottom = Math.max(...nodes.map(node => node.pos[1] + node.size[1]))
    canvas.ds.scale = 1
    canvas.deselectAll()
    canvas.ds.offset = [400 - left, 150 - top]
    canvas.setDirty(true, true)
    const box = canvas.canvas.getBoundingClientRect()
    return {x: box.x + 400 - margin, y: box.y + 150 - margin,
            width: right - left + 2 * margin, height: bottom - top + 2 * margin}
}"""


def take(page: ComfyPage, ids: list[str]) -> Image.Image:
    """A picture of some nodes at the page's own size."""
    clip = page.page.evaluate(LOOK, [ids, MARGIN, TITLE_HEIGHT])
    page.draw()
    return Image.open(io.BytesIO(page.page.screenshot(clip=clip))).convert("RGB")


def wait_until_done(client: ComfyClient) -> None:
    """Wait for the one prompt that was queued."""
    deadline = time.monotonic() + RUN_SECONDS
    while not (history := client.get("/history")):
        assert time.monotonic() < deadline, f"not done after {RUN_SECONDS} s"
        time.sleep(0.5)
    (entry,) = history.values()
    assert entry["status"]["status_str"] == "success", entry["status"]


@pytest.mark.timeout(SECONDS)
def test_pictures_of_the_nodes(
    browser: Browser, plain_server: ComfyServer, request: pytest.FixtureRequest, artifacts: Path
) -> None:
    """All nodes that need no further files run in one workflow, and each of them looks like something."""
    with opened(browser, plain_server, "en") as page:
        pictures = taken(page, plain_server)
        assert page.problems() == []
    folder = artifacts / "help-pictures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, picture in pictures.items():
        assert len(set(picture.resize((64, 64)).tobytes())) > 50, name
        picture.save(folder / f"{name}.png")
        if request.config.getoption("--update-snapshot"):
            (DOCS / "images").mkdir(parents=True, exist_ok=True)
            picture.save(DOCS / "images" / f"{name}.webp", quality=80, method=6)


def taken(page: ComfyPage, server: ComfyServer) -> dict[str, Image.Image]:
    """Node -> its picture, after the nodes have run."""
    graph = Graph(titled=False)
    shown = {name: [node.id for node in nodes] for name, nodes in scenes(graph).items()}
    page.load_prompt(graph.prompt, "help")
    page.run()
    wait_until_done(ComfyClient(server.address))
    page.page.wait_for_timeout(5_000)  # the page hears of the last results, and loads their pictures
    page.page.evaluate(ARRANGE, [shown, SHOWS, NODE_WIDTH, SPACING])
    page.settle()

    pictures = {name: take(page, ids) for name, ids in shown.items()}
    for name in NOT_RUN:
        show(page, name)
        node = page.page.evaluate("() => String(window.app.graph.nodes[0].id)")
        pictures[name] = take(page, [node])
    return pictures
