"""HeadsUpPlanUpscale in the executor of ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from harness.executor import Executor
from harness.graph import Graph
from harness.images import picture
from harness.people import astronaut


@dataclass(frozen=True)
class Planned:
    """What one plan node gave: a list per output."""

    drawings: list[torch.Tensor]
    reports: list[str]
    tiles: list[int]
    overlaps: list[int]
    batches: list[int]
    widths: list[int]
    heights: list[int]


def plan(executor: Executor, *images: torch.Tensor, **inputs: Any) -> Planned:
    graph = Graph()
    node = graph.plan(graph.load_model(), executor.values(graph, *images), **inputs)
    paths = [executor.record(graph, node[output]) for output in range(7)]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    assert result.random_state_untouched
    return Planned(*map(executor.recorded, paths))


@pytest.mark.every_comfyui
def test_numbers_are_those_of_the_upscale(executor: Executor) -> None:
    """Wired into the upscale node, which reports the same."""
    graph = Graph()
    model, photo = graph.load_model(), executor.values(graph, picture(70, 50, batch=2))
    planned = graph.plan(model, photo, tile=0, overlap=-1, tile_batch=0)
    done = graph.upscale(model, photo, tile=planned[2], overlap=planned[3], tile_batch=planned[4])
    paths = [executor.record(graph, output) for output in (planned[1], planned[5], planned[6], done[0], done[2])]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    (report,), (width,), (height,), (image,), (reported,) = map(executor.recorded, paths)
    assert image.shape == (2, height, width, 3)
    assert "2 pictures of 50x70 -> 200x280 px" in report
    tilings = [[line for line in text.splitlines() if line.startswith("tile ")] for text in (report, reported)]
    (planned_tiling,), (used_tiling, *_) = tilings
    assert planned_tiling.split(" (")[0] == used_tiling.split(" (")[0]


@pytest.mark.every_comfyui
def test_a_list_of_sizes_is_planned_one_by_one(executor: Executor) -> None:
    out = plan(executor, picture(64, 64), picture(40, 80, batch=2), tile=128, overlap=32)

    assert [tuple(drawing.shape) for drawing in out.drawings] == [(1, 1024, 1024, 3), (2, 512, 1024, 3)]
    assert (out.tiles, out.overlaps, out.batches) == ([128, 128], [32, 32], [1, 1])
    assert (out.widths, out.heights) == ([256, 320], [256, 160])
    assert all("unknown without calibration" in report for report in out.reports)


def test_calibration_gives_a_time(executor: Executor) -> None:
    (report,) = plan(executor, picture(32, 32), calibrate=True).reports

    assert "time on cpu: about " in report
    assert "guess" not in report


def test_faces_are_drawn(executor: Executor) -> None:
    graph = Graph()
    photo = executor.values(graph, astronaut())
    planned = graph.plan(graph.load_model(), photo, tile=2048, faces=graph.detect(photo)[0])
    path = executor.record(graph, planned[0])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    (drawing,) = executor.recorded(path)
    assert (drawing > 0.99).all(-1).sum() > 500, "a white box"


def test_without_a_size_it_is_the_models_own(executor: Executor) -> None:
    graph = Graph()
    planned = graph.plan(graph.load_model(), executor.values(graph, picture(8, 8)), scale=0.0)
    width = executor.record(graph, planned[5])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    assert executor.recorded(width) == [32]
