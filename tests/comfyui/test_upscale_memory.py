"""Cancelling, running again, and weights that are loaded once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from harness.executor import Executor
from harness.graph import Graph
from harness.images import picture

pytestmark = pytest.mark.every_comfyui


def test_cancelled_run_can_be_repeated(executor: Executor) -> None:
    photo = picture(64, 64, phase=1.0)
    graph = Graph()
    node = graph.upscale(graph.load_model(), executor.values(graph, photo), tile=128, overlap=32)
    image = executor.record(graph, node[0])

    cancelled = executor.run(graph, interrupt_after=2)
    again = executor.run(graph)

    assert cancelled.status == "interrupted"
    assert len(cancelled.progress) == 2  # it stopped at that tile, not at the end
    assert again.status == "success", again.complaint
    assert node.id in again.executed
    assert executor.recorded(image)[0].shape == (1, 256, 256, 3)


def branches(executor: Executor, count: int, phase: float) -> Counter[str]:
    """Run `count` upscale nodes on one model; the networks in memory afterwards, by class."""
    graph = Graph()
    model = graph.load_model()
    for branch in range(count):
        photo = executor.values(graph, picture(16, 16, phase=phase + branch))
        executor.record(graph, graph.upscale(model, photo, seed=branch)[0])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    loaded = executor.loaded_models()
    assert len({entry["id"] for entry in loaded}) == len(loaded)
    return Counter(entry["class"] for entry in loaded)


def test_branches_share_the_loaded_weights(executor: Executor) -> None:
    one = branches(executor, 1, phase=2.0)
    three = branches(executor, 3, phase=3.0)

    assert sum(one.values()) > 0
    assert three == one


def test_all_weights_are_in_comfyuis_sight(executor: Executor, bundled_model: Path) -> None:
    branches(executor, 1, phase=9.0)

    # half: the file may hold float32 and the networks bfloat16
    assert sum(entry["bytes"] for entry in executor.loaded_models()) >= bundled_model.stat().st_size / 2


def test_recorded_values_are_plain_tensors(executor: Executor) -> None:
    graph = Graph()
    node = graph.upscale(graph.load_model(), executor.values(graph, picture(16, 16)))
    image = executor.record(graph, node[0])

    assert executor.run(graph).status == "success"
    (tensor,) = executor.recorded(image)
    assert type(tensor) is torch.Tensor
    assert tensor.device.type == "cpu"
    assert not tensor.requires_grad
