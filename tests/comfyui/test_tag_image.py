"""HeadsUpTagImage, and texts that belong to pictures in HeadsUpUpscale, in the executor of every supported ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor, refused
from harness.graph import Graph
from harness.images import picture
from harness.ram import tagger_files

from headsup_core.models.tagging.tagger import load_tagger

TAGGING: dict[str, Any] = {"reduction": "smooth", "enlarge": 1, "threshold_shift": 0.0}


def put_files(executor: Executor) -> tuple[str, str]:
    """Files as the node names them."""
    folder = Path(executor.base) / "models" / "headsup" / "taggers"
    ram, dape = tagger_files(folder)
    return f"taggers/{ram.name}", f"taggers/{dape.name}"


def test_each_picture_gets_its_tags(executor: Executor) -> None:
    ram, dape = put_files(executor)
    graph = Graph()
    photos = picture(40, 30, batch=2)
    node = graph.add(
        "HeadsUpTagImage", image=executor.values(graph, photos), ram=ram, dape=dape, device="cpu", **TAGGING
    )
    path = executor.record(graph, node[0])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    folder = Path(executor.base) / "models" / "headsup"
    expected = load_tagger(folder / ram, folder / dape).tags(photos.permute(0, 3, 1, 2))
    assert executor.recorded(path) == expected
    assert len(expected) == 2


def test_without_a_file_it_says_which_is_needed(executor: Executor) -> None:
    graph = Graph()
    node = graph.add(
        "HeadsUpTagImage", image=executor.values(graph, picture(20, 20)), ram="none", dape="none", device="cpu",
        **TAGGING,
    )  # fmt: skip
    assert "ram_swin_large_14m.pth" in refused(executor, graph, node[0])


@pytest.mark.parametrize("texts", [("a", "b", "c"), ("a",)])
def test_a_list_of_texts_beside_a_batch_is_no_list_of_runs(executor: Executor, texts: tuple[str, ...]) -> None:
    graph = Graph()
    photos = picture(16, 16, batch=3)
    done = graph.upscale(
        graph.load_model(), executor.values(graph, photos), tags=executor.values(graph, *texts), scale=1.0
    )
    paths = [executor.record(graph, done[index]) for index in (0, 2)]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    images, reports = map(executor.recorded, paths)
    assert [tuple(image.shape) for image in images] == [(3, 16, 16, 3)]
    assert len(reports) == 1
    assert "picture 3 of 3" in reports[0]


def test_texts_that_fit_no_pictures_are_refused(executor: Executor) -> None:
    graph = Graph()
    photos = picture(16, 16, batch=3)
    done = graph.upscale(graph.load_model(), executor.values(graph, photos), tags=executor.values(graph, "a", "b"))
    assert "2 texts for 3 pictures" in refused(executor, graph, done[0])
