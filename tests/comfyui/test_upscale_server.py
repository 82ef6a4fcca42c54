"""The nodes in a real server, over HTTP."""

from __future__ import annotations

import io

from harness.graph import Graph, Node
from PIL import Image
from support.client import ComfyClient, Event, PromptRejectedError, is_progress_of


def portrait_graph(seed: int, **inputs: float) -> tuple[Graph, Node, Node]:
    """The sample portrait through an upscale node into a file."""
    graph = Graph()
    photo = graph.add("LoadImage", image="headsup_sample.png")
    upscale = graph.upscale(graph.load_model(), photo[0], seed=seed, **inputs)
    saved = graph.add("SaveImage", images=upscale[0], filename_prefix="headsup")
    graph.add("PreviewAny", source=upscale[2])
    return graph, upscale, saved


def saved_size(client: ComfyClient, image: dict[str, str]) -> tuple[int, int]:
    return Image.open(io.BytesIO(client.fetch_image(image))).size


def test_portrait_is_upscaled(client: ComfyClient) -> None:
    graph, upscale, saved = portrait_graph(seed=1)

    result = client.run(graph.prompt)

    assert result.status == "success", result.error
    assert saved_size(client, result.outputs[saved.id]["images"][0]) == (512, 512)
    assert result.progress_of(upscale.id)
    assert any(event.kind == "preview" for event in result.events)


def test_cancel_in_the_middle_then_run_again(client: ComfyClient) -> None:
    graph, upscale, saved = portrait_graph(seed=2, scale=8.0, tile=128, overlap=32)

    def cancel(event: Event) -> None:
        if is_progress_of(event, upscale.id) and event.data["value"] >= 1:
            client.interrupt()

    cancelled = client.run(graph.prompt, on_event=cancel)

    assert cancelled.status == "interrupted"
    value, total = cancelled.progress_of(upscale.id)[-1]
    assert value < total / 2
    assert saved.id not in cancelled.outputs

    result = client.run(portrait_graph(seed=2, scale=2.0)[0].prompt)

    assert result.status == "success", result.error


def test_bad_input_is_answered_with_numbers_and_remedy(client: ComfyClient) -> None:
    graph, _, _ = portrait_graph(seed=3, tile=128, overlap=128)
    try:
        said = client.run(graph.prompt).error
    except PromptRejectedError as error:
        said = str(error)

    assert "128" in said
    assert "overlap must be below" in said
    assert client.run(portrait_graph(seed=3, scale=2.0)[0].prompt).status == "success"


def test_two_branches_share_one_model(client: ComfyClient) -> None:
    graph = Graph()
    photo = graph.add("LoadImage", image="headsup_sample.png")
    loader = graph.add("HeadsUpLoadModel", model="headsup-tiny (bundled)", dtype="float32", device="auto")
    branches = [graph.upscale(loader[0], photo[0], seed=4, scale=2.0, strength=strength) for strength in (1.0, 0.5)]
    saved = [graph.add("SaveImage", images=node[0], filename_prefix="branch") for node in branches]

    result = client.run(graph.prompt)

    assert result.status == "success", result.error
    assert result.executed_nodes.count(loader.id) <= 1
    assert all(node.id in result.executed_nodes for node in branches)
    assert [saved_size(client, result.outputs[node.id]["images"][0]) for node in saved] == [(256, 256)] * 2


def test_unknown_model_is_refused(client: ComfyClient) -> None:
    graph = Graph()
    photo = graph.add("LoadImage", image="headsup_sample.png")
    upscale = graph.upscale(graph.load_model(model="no-such-model.safetensors"), photo[0])
    graph.add("SaveImage", images=upscale[0], filename_prefix="headsup")

    result = client.run(graph.prompt)

    assert result.status == "error"
    assert "no-such-model.safetensors" in result.error
    assert "models/headsup" in result.error
