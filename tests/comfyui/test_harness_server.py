"""The server harness does what the other tests rely on, with ComfyUI's own nodes."""

from __future__ import annotations

import io
from pathlib import Path

from harness.graph import Graph
from harness.refusals import raises_naming
from PIL import Image
from support.client import ComfyClient, Event, PromptRejectedError, is_progress_of


def scale_graph(name: str) -> tuple[Graph, str]:
    graph = Graph()
    loaded = graph.add("LoadImage", image=name)
    scaled = graph.add("ImageScale", image=loaded[0], upscale_method="area", width=20, height=10, crop="disabled")
    saved = graph.add("SaveImage", images=scaled[0], filename_prefix="harness")
    return graph, saved.id


def test_version_is_the_pinned_one(client: ComfyClient) -> None:
    assert client.version() == "0.30.0"


def test_uploaded_picture_comes_back_scaled(client: ComfyClient, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    graph, saved = scale_graph(client.upload_image(tmp_path / "red.png"))

    result = client.run(graph.prompt)

    assert result.status == "success", result.error
    (image,) = result.outputs[saved]["images"]
    picture = Image.open(io.BytesIO(client.fetch_image(image)))
    assert picture.size == (20, 10)
    assert picture.getpixel((5, 5)) == (255, 0, 0)


def test_prompt_is_interrupted_and_the_next_runs(client: ComfyClient) -> None:
    graph = Graph()
    slow = graph.add("HarnessSlow", steps=400, seed=11)

    def stop(event: Event) -> None:
        if is_progress_of(event, slow.id):
            client.interrupt()

    result = client.run(graph.prompt, on_event=stop)

    assert result.status == "interrupted"
    assert result.seconds < 10
    assert client.run(scale_graph("headsup_sample.png")[0].prompt).status == "success"


def test_failing_node_gives_its_message(client: ComfyClient) -> None:
    graph = Graph()
    values = graph.add("HarnessValues", path="/nowhere/at-all.pt")
    graph.add("HarnessRecord", value=values[0], path="/nowhere/out.pt")

    result = client.run(graph.prompt)

    assert result.status == "error"
    assert "/nowhere/at-all.pt" in result.error


def test_missing_picture_is_refused(client: ComfyClient) -> None:
    with raises_naming(PromptRejectedError, "no-such-picture.png"):
        client.run(scale_graph("no-such-picture.png")[0].prompt)
