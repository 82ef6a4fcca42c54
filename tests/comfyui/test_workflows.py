"""The workflows that come with the pack, queued in a real ComfyUI as its page queues them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.checkpoint import write_checkpoint
from harness.workflows import APPS, GRAPHS, NAMES, NOTES, as_drawn, workflow, write_pictures
from PIL import Image
from support.blueprint import BLUEPRINT, blueprint
from support.client import ComfyClient, PromptResult
from support.comfyui import OLDEST, ensure_comfyui
from support.drawings import WORKFLOWS
from support.server import ComfyServer
from support.workflow import Prompt, Schema, input_spec, to_prompt

RUN_SECONDS = 600
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
Changes = dict[str, dict[str, Any]]  # class of node -> its inputs


@dataclass(frozen=True)
class Expected:
    """What a workflow sets and what it makes of the small pictures of `write_pictures`."""

    sizes: set[tuple[int, int]]  # of the saved pictures
    chosen: Changes = field(default_factory=dict)  # what the workflow sets in place of our nodes' defaults
    quicker: Changes = field(default_factory=dict)  # what the test sets, to take less time or for want of a file
    says: tuple[str, ...] = ()  # words of the texts that it shows


EXPECTED = {
    "Restore a portrait": Expected({(384, 384)}, says=("96x96 -> 384x384",)),
    "Restore a portrait with a photo of the person": Expected({(384, 384)}, says=("face 0: person 1, identity",)),
    "Restore a group photo": Expected(
        {(1536, 512)}, says=("person 1, identity", "person 2, identity", "person 3, identity")
    ),
    "Restore an old scan": Expected(
        {(384, 384)},
        {"HeadsUpUpscale": {"strength": {0.85}, "color_fix": {"lab"}}},
        says=("colour fix lab, strength 0.85",),
    ),
    "Restore a tiny face (IDFSR)": Expected(
        {(176, 176)},
        {"HeadsUpLoadModel": {"model": {"idfsr-tiny (bundled)"}}},
        says=("headsup-tiny with idfsr-tiny", "faces painted by idfsr-tiny: 1"),
    ),
    "Restore a folder of pictures": Expected(
        {(384, 384), (448, 448)}, says=("96x96 -> 384x384", "112x112 -> 448x448")
    ),
    "Compare two models": Expected(
        {(384, 384)},
        {"HeadsUpUpscale": {"strength": {0.5}}, "HeadsUpCompareIdentity": {"no_face": {"pass through"}}},
        says=("strength 1\n", "strength 0.5", "same person"),
    ),
    "Repair faces of text to image": Expected(
        {(256, 256)},
        {
            "HeadsUpDetectFaces": {"min_eye_distance": {6.0}},
            "HeadsUpUpscale": {"scale": {2.0}},
            "HeadsUpFacesToMask": {"grow": {0.3}},
        },
        {"EmptyLatentImage": {"width": 128, "height": 128}, "KSampler": {"steps": 1}},
    ),
}


@pytest.fixture(scope="module")
def stocked_server(comfy_server: ComfyServer) -> Iterator[ComfyServer]:
    """The server with all pictures and models that the workflows load."""
    write_pictures(comfy_server.base / "input")
    models = comfy_server.base / "models"
    checkpoint = models / "checkpoints" / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(checkpoint)
    yield comfy_server
    checkpoint.unlink()


def changed(prompt: Prompt, changes: Changes) -> Prompt:
    """The prompt with some inputs of some classes of nodes set."""
    return {
        number: entry | {"inputs": entry["inputs"] | changes.get(entry["class_type"], {})}
        for number, entry in prompt.items()
    }


def texts(result: PromptResult) -> str:
    """All texts that the nodes show."""
    return "\n".join(str(text) for shown in result.outputs.values() for text in shown.get("text", []))


def saved_sizes(client: ComfyClient, prompt: Prompt, result: PromptResult) -> list[tuple[int, int]]:
    """The sizes of the pictures that nodes saved; all other pictures can be fetched, too."""
    sizes: list[tuple[int, int]] = []
    for node, shown in result.outputs.items():
        for image in shown.get("images", []):
            picture = Image.open(io.BytesIO(client.fetch_image(image)))
            sizes += [picture.size] * (prompt[node]["class_type"] == "SaveImage")
    return sizes


def test_every_workflow_is_tested() -> None:
    assert sorted(EXPECTED) == GRAPHS


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_runs(name: str, client: ComfyClient, stocked_server: ComfyServer) -> None:
    expected = EXPECTED[name]
    prompt = changed(to_prompt(workflow(name), client.object_info()), expected.quicker)

    result = client.run(prompt, timeout=RUN_SECONDS)

    assert result.status == "success", result.error
    assert set(saved_sizes(client, prompt, result)) == expected.sizes
    for words in expected.says:
        assert words in texts(result)


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_sets_our_nodes_to_their_defaults_but_where_it_says_so(name: str, client: ComfyClient) -> None:
    schemas = client.object_info()
    set_here: dict[str, dict[str, set[Any]]] = {}
    for entry in to_prompt(workflow(name), schemas).values():
        defaults = defaults_of(schemas[entry["class_type"]])
        defaults |= {"detail": DETAIL} if "detail" in defaults else {}
        for key, value in entry["inputs"].items():
            if entry["class_type"].startswith("HeadsUp") and not isinstance(value, list) and value != defaults[key]:
                set_here.setdefault(entry["class_type"], {}).setdefault(key, set()).add(value)

    assert set_here == EXPECTED[name].chosen


DETAIL = 0.6  # headsup-tiny's own, which Load Model shows in the place of -1


def defaults_of(schema: Schema) -> dict[str, Any]:
    """The defaults of a node's widgets."""
    sections = (schema["input"].get(section, {}) for section in ("required", "optional"))
    return {key: input_spec(spec)[1].get("default") for section in sections for key, spec in section.items()}


@pytest.mark.parametrize("name", NAMES)
def test_workflow_explains_itself(name: str) -> None:
    notes = [node for node in workflow(name)["nodes"] if node["type"] in NOTES]

    assert any(len(node["widgets_values"][0]) > 200 for node in notes)


@pytest.mark.parametrize("name", APPS)
def test_app_is_the_workflow_in_app_mode(name: str) -> None:
    graph, app = workflow(name.removeprefix("App - ")), workflow(name)
    nodes = {node["id"]: node for node in app["nodes"]}
    shown = app["extra"]["linearData"]

    assert {key: value for key, value in app.items() if key not in ("id", "extra")} == {
        key: value for key, value in graph.items() if key not in ("id", "extra")
    }
    assert app["extra"]["linearMode"] is True
    assert "linearMode" not in graph["extra"]
    for node, widget in shown["inputs"]:
        assert widget in {entry["name"] for entry in nodes[node]["inputs"]}
    assert {nodes[node]["type"] for node in shown["outputs"]} == {"ImageCompare", "SaveImage", "PreviewAny"}


@pytest.mark.parametrize("name", NAMES)
def test_pictures_come_with_the_pack(name: str, root: Path) -> None:
    samples = root / "samples"
    for node in workflow(name)["nodes"]:
        if node["type"] == "LoadImage":
            assert (samples / node["widgets_values"][0]).is_file()
        if node["type"] == "LoadImageDataSetFromFolder":
            assert len(list((samples / node["widgets_values"][0]).glob("*.jpg"))) > 1


def test_no_photo_is_a_copy_of_the_picture_mirrored_or_not(root: Path) -> None:
    """References are other photos of the person: no two pictures are alike when brought to one size."""
    small: dict[str, torch.Tensor] = {}
    for path in sorted((root / "samples").glob("*.jpg")):
        grey = Image.open(path).convert("L").resize((32, 32))
        values = torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).float().reshape(32, 32)
        small[path.name] = (values - values.mean()) / values.std()
    for first, second in combinations(small, 2):
        for turned in (small[second], small[second].flip(1)):
            assert (small[first] * turned).mean() < 0.95, (first, second)


def test_oldest_comfyui_has_all_nodes() -> None:
    tree = ensure_comfyui(OLDEST)
    source = "".join(path.read_text() for path in (tree / "nodes.py", *(tree / "comfy_extras").glob("*.py")))
    kinds = {node["type"] for name in NAMES for node in workflow(name)["nodes"]}
    core = {kind for kind in kinds - NOTES if not kind.startswith("HeadsUp")}

    assert len(core) > 10
    # there page/headsup.js leaves it out
    assert {kind for kind in core if f'"{kind}"' not in source} == {"ImageCompare"}


def test_files_are_what_the_script_draws(client: ComfyClient, root: Path) -> None:
    """When this fails: .venv/bin/python scripts/draw_workflows, and look at what changed."""
    schemas = as_drawn(client.object_info())
    drawn = {drawing.name: drawing.to_json() for drawing in (draw(schemas) for draw in WORKFLOWS)}

    assert drawn == {name: workflow(name) for name in NAMES}
    assert blueprint(schemas) == json.loads((root / "subgraphs" / f"{BLUEPRINT}.json").read_text(encoding="utf-8"))


def test_files_are_where_the_template_browser_looks(client: ComfyClient, root: Path) -> None:
    """The list that ComfyUI gives, and a thumbnail of a moderate size for each."""
    listed = [names for names in client.get("/workflow_templates").values() if "Restore a portrait" in names]

    assert [sorted(names) for names in listed] == [NAMES]
    for name in NAMES:
        path = root / "workflows" / f"{name}.jpg"
        assert 200 <= min(Image.open(path).size) <= max(Image.open(path).size) <= 1024
        assert path.stat().st_size < 150_000
