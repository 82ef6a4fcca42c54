"""The ten most likely mistakes, as a user meets them: what ComfyUI's page says names the thing and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness.graph import LOAD_MODEL, Graph, Output
from harness.page import ComfyPage, skip_welcome
from harness.people import astronaut, hanks
from harness.systems import WordStates, base_folder, tiny_networks
from playwright.sync_api import Browser
from safetensors.torch import save_file
from support.client import ComfyClient
from support.sample import NAME
from support.server import ComfyServer

from headsup_core.image_files import write_picture
from headsup_core.models.bases.base import Base

RUN_SECONDS = 600
CUT, OTHER, SD1 = "cut-short.safetensors", "some-lora.safetensors", "sd15.safetensors"
BASE = "tiny-mistakes"
PLAIN = {"adapter": "none", "base": "none"}  # said, since the page keeps the last workflow's values for what is not
PHOTOS = {"ada.png": astronaut(), "tom.png": hanks(256), "wall.png": torch.full((1, 64, 64, 3), 0.5)}


@pytest.fixture(scope="module")
def files(comfy_server: ComfyServer, bundled_model: Path) -> Iterator[None]:
    """Files that are wrong, each in its way, and photos; away again afterwards."""
    models = comfy_server.base / "models"
    for kind in ("headsup", "checkpoints", "diffusers"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    whole = bundled_model.read_bytes()
    (models / "headsup" / CUT).write_bytes(whole[: len(whole) // 2])
    save_file({"lora_te_text_model.weight": torch.zeros(4, 4)}, models / "headsup" / OTHER)
    first, text = "input_blocks.0.0.weight", "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    shapes = {first: (320, 4, 3, 3), text: (320, 768)}
    tensors = {f"model.diffusion_model.{name}": torch.zeros(shape) for name, shape in shapes.items()}
    save_file(tensors, models / "checkpoints" / SD1)
    base_folder(Base(Path(BASE), *tiny_networks(), WordStates()), models / "diffusers" / BASE)
    for name, photo in PHOTOS.items():
        write_picture(comfy_server.base / "input" / name, photo.permute(0, 3, 1, 2))
    yield
    for path in (models / "headsup" / CUT, models / "headsup" / OTHER, models / "checkpoints" / SD1):
        path.unlink()
    shutil.rmtree(models / "diffusers" / BASE)


@pytest.fixture(scope="module")
def page(browser: Browser, comfy_server: ComfyServer, files: None) -> Iterator[ComfyPage]:
    """One page for all of them."""
    skip_welcome(comfy_server.base)
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    yield ComfyPage(context.new_page(), comfy_server.address)
    context.close()


@pytest.fixture(autouse=True)
def screenshot(page: ComfyPage, artifacts: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """A screenshot at the end of each test."""
    yield
    page.screenshot(artifacts / f"{request.node.name}.png")


def queue(page: ComfyPage, graph: Graph) -> None:
    page.load_prompt(graph.prompt, "mistake")
    page.run()


def said(page: ComfyPage, graph: Graph) -> str:
    """Run a workflow that fails; what the page says, on one line."""
    queue(page, graph)
    return " ".join(page.complaint(RUN_SECONDS).split())


def upscaled(graph: Graph, model: Output, photo: str = NAME, **inputs: object) -> Graph:
    """The graph with that model's upscaling of a photo."""
    image = graph.add("LoadImage", image=photo)
    node = graph.upscale(model, image[0], **({"scale": 1.0} | inputs))
    graph.add("PreviewImage", images=node[0])
    graph.add("PreviewAny", source=node[2])
    return graph


def loaded(**inputs: str) -> Graph:
    """Upscaling with a loader of these inputs."""
    graph = Graph()
    return upscaled(graph, graph.add("HeadsUpLoadModel", **(LOAD_MODEL | PLAIN | inputs))[0])


def test_no_model_file(page: ComfyPage) -> None:
    text = said(page, loaded(model="mine.safetensors"))
    assert "mine.safetensors" in text
    assert "not found: put the file into" in text
    assert "models/headsup and press R, or choose another" in text


def test_corrupt_file(page: ComfyPage) -> None:
    text = said(page, loaded(model=CUT))
    assert CUT in text
    assert "it is cut short" in text
    assert "download it again" in text


def test_wrong_base(page: ComfyPage) -> None:
    text = said(page, loaded(adapter=OTHER, base=SD1))
    assert f"{SD1} is Stable Diffusion 1 (text 768 wide); needed is" in text
    assert "Stable Diffusion 2.1-base" in text


def test_wrong_adapter(page: ComfyPage) -> None:
    text = said(page, loaded(adapter=OTHER, base=f"{BASE} (diffusers folder)"))
    assert f"{OTHER} is of no known system (" in text
    assert "OSEDiff" in text
    assert "lora_te_text_model.weight" in text
    assert "; choose a file of one of these" in text


def test_no_face(page: ComfyPage) -> None:
    graph = Graph()
    photo = graph.add("LoadImage", image="wall.png")
    graph.add("PreviewAny", source=graph.encode(photo[0])[2])
    text = said(page, graph)
    assert "no face was found in 1 of 1 pictures, the first is picture 1 (64x64 px)" in text
    assert "lower these, load another analyzer, or set no_face to pass through" in text


def test_wrong_person(page: ComfyPage) -> None:
    graph = Graph()
    ada = graph.encode(graph.add("LoadImage", image="ada.png")[0])
    model = graph.add("HeadsUpInjectIdentity", model=graph.load_model(**PLAIN), identities=ada[0])
    queue(page, upscaled(graph, model[0], "tom.png"))
    text = page.wait_for_text("somebody else", RUN_SECONDS)
    assert "restored without the reference (the photo seems to be of somebody else: score" in text
    assert "identity gate off or report uses this one all the same" in text
    assert page.problems() == []


def test_too_large(page: ComfyPage) -> None:
    said_of_it = "the output of 1 x 32768x32768 px needs 40.0 GiB of main memory"
    graph = Graph()
    large = {"long_edge": 32_768, "max_megapixels": 0.0}
    text = said(page, upscaled(graph, graph.load_model(**PLAIN), on_error="stop", **large))
    assert said_of_it in text
    assert "or set a megapixel cap of" in text

    graph = Graph()
    photo = graph.add("LoadImage", image=NAME)
    graph.add("PreviewImage", images=graph.upscale(graph.load_model(**PLAIN), photo[0], **large)[0])  # keeps going
    queue(page, graph)
    page.wait_for_images("PreviewImage", RUN_SECONDS)
    shown = page.page.get_by_text(f"not enlarged, the picture is as it was: {said_of_it}")
    shown.first.wait_for(timeout=60_000)  # on the node, though nobody looks at the report


def test_out_of_memory(page: ComfyPage) -> None:
    graph = Graph()
    full = graph.add("HarnessFullGpu", model=graph.load_model(**PLAIN))
    text = said(page, upscaled(graph, full[0], on_error="stop"))
    assert "out of memory in the UNet even with tiles of 128 px" in text
    assert "close other programs, or load the model with device cpu" in text


def test_missing_library(page: ComfyPage, client: ComfyClient) -> None:
    def hide(hidden: bool) -> None:
        graph = Graph()
        graph.add("HarnessHide", module="facexlib", hide=hidden)
        assert client.run(graph.prompt).status == "success"

    hide(True)
    graph = Graph()
    analyzer = graph.analyzer(backend="facexlib")
    graph.add("PreviewAny", source=analyzer[1])
    text = said(page, graph)
    hide(False)
    assert "the facexlib face analyzer needs facexlib" in text
    assert "-m pip install facexlib" in text


def test_cancelled(page: ComfyPage) -> None:
    graph = Graph()
    queue(page, upscaled(graph, graph.load_model(**PLAIN), scale=8.0, tile=128, overlap=32))
    page.page.wait_for_function("() => window.app.graph.nodes.some(node => node.progress > 0)", timeout=300_000)
    page.page.keyboard.press("Control+Alt+Enter")
    page.page.wait_for_function(
        "async () => { const queue = await window.app.api.getQueue(); return !queue.Running.length }", timeout=300_000
    )
    page.settle()

    assert page.problems() == []  # what the user asked for is no error
    assert page.page.evaluate("() => window.app.graph.nodes.filter(node => node.has_errors).length") == 0
    queue(page, upscaled(graph := Graph(), graph.load_model(**PLAIN), scale=2.0))
    page.wait_for_images("PreviewImage", RUN_SECONDS)
