"""The executor harness does what the other tests rely on, with ComfyUI's own nodes."""

from __future__ import annotations

import pytest
import torch
from harness.executor import Executor
from harness.graph import Graph

pytestmark = pytest.mark.every_comfyui


def test_values_go_through_core_nodes_exactly(executor: Executor) -> None:
    images = [torch.rand(1, 5, 7, 3), torch.rand(2, 4, 4, 3)]
    graph = Graph()
    flipped = graph.add("ImageInvert", image=executor.values(graph, *images))
    path = executor.record(graph, flipped[0])

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    recorded = executor.recorded(path)
    assert len(recorded) == 2
    for image, inverted in zip(images, recorded, strict=True):
        torch.testing.assert_close(inverted, 1.0 - image, rtol=0, atol=0)


def test_picture_file_is_loaded_scaled_and_saved(executor: Executor) -> None:
    graph = Graph()
    loaded = graph.add("LoadImage", image="headsup_sample.png")
    scaled = graph.add("ImageScale", image=loaded[0], upscale_method="bilinear", width=40, height=30, crop="disabled")
    saved = graph.add("SaveImage", images=scaled[0], filename_prefix="harness")

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    assert result.executed == [loaded.id, scaled.id, saved.id]
    (image,) = result.outputs[saved.id]["images"]
    assert (executor.base / "output" / image["filename"]).is_file()


def test_second_run_comes_from_the_cache(executor: Executor) -> None:
    graph = Graph()
    image = executor.values(graph, torch.rand(1, 4, 4, 3))
    executor.record(graph, graph.add("ImageInvert", image=image)[0])

    assert executor.run(graph).executed == ["1", "2", "3"]
    assert executor.run(graph).executed == []


def test_interrupt_stops_at_a_progress_report(executor: Executor) -> None:
    graph = Graph()
    slow = graph.add("HarnessSlow", steps=200, seed=1)

    result = executor.run(graph, interrupt_after=3)

    assert result.status == "interrupted"
    assert [entry[0] for entry in result.progress] == [slow.id] * 3  # 0.30 leaves out reports that come fast
    assert result.progress[-1][1] < 200
    quick = Graph()
    quick.add("HarnessSlow", steps=2, seed=2)
    assert executor.run(quick).status == "success"


def test_wrong_value_is_rejected_with_its_name(executor: Executor) -> None:
    graph = Graph()
    graph.add("HarnessSlow", steps="many", seed=0)

    result = executor.run(graph)

    assert result.status == "rejected"
    assert "steps" in result.complaint


def test_missing_file_is_an_error(executor: Executor) -> None:
    graph = Graph()
    missing = graph.add("HarnessValues", path="/nowhere/at-all.pt")
    executor.record(graph, missing[0])

    result = executor.run(graph)

    assert (result.status, result.error_type) == ("error", "FileNotFoundError")
    assert "/nowhere/at-all.pt" in result.complaint
