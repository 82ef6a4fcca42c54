"""What goes wrong is said with its numbers and the remedy; what can go on goes on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.executor import Executor, ExecutorResult
from harness.graph import Graph
from harness.images import picture
from PIL import Image

NAN_PICTURE = picture(20, 20).index_fill(1, torch.tensor([3]), float("nan"))


def attempt(executor: Executor, *images: torch.Tensor, **inputs: Any) -> tuple[ExecutorResult, Path, Path]:
    """Run images, as a list, through one upscale node; the recordings of its image and its report."""
    graph = Graph()
    node = graph.upscale(graph.load_model(), executor.values(graph, *images), **inputs)
    image, report = executor.record(graph, node[0]), executor.record(graph, node[2])
    return executor.run(graph), image, report


@pytest.mark.every_comfyui
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"tile": 128, "overlap": 128}, ["128", "overlap must be below"]),
        ({"tile": 128, "overlap": 200}, ["128", "200", "overlap must be below"]),
        ({"scale": -1.0}, ["scale", "-1"]),
        ({"strength": 1.5}, ["strength", "1.5"]),
    ],
)
def test_wrong_options_are_refused_with_their_numbers(
    executor: Executor, inputs: dict[str, Any], said: list[str]
) -> None:
    result, _, _ = attempt(executor, picture(64, 64), on_error="stop", **inputs)

    assert result.status in ("rejected", "error")
    assert [text for text in said if text.lower() not in result.complaint.lower()] == [], result.complaint


@pytest.mark.every_comfyui
def test_bad_picture_in_a_list_does_not_stop_the_others(executor: Executor) -> None:
    good = picture(20, 20)

    result, image, report = attempt(executor, good, NAN_PICTURE, good)

    assert result.status == "success", result.complaint
    images, reports = executor.recorded(image), executor.recorded(report)
    assert [tuple(entry.shape) for entry in images] == [(1, 80, 80, 3)] * 3
    assert torch.isfinite(images[1]).all()
    assert torch.equal(images[0], images[2])
    assert "nan" in reports[1].lower()
    assert "nan" not in reports[0].lower()


def test_list_of_mixed_sizes_with_a_bad_picture(executor: Executor) -> None:
    wide, tall = picture(16, 40), picture(33, 20, phase=1.0)

    result, image, report = attempt(executor, wide, NAN_PICTURE, tall)
    _, alone, _ = attempt(executor, tall)

    assert result.status == "success", result.complaint
    images, reports = executor.recorded(image), executor.recorded(report)
    assert [tuple(entry.shape) for entry in images] == [(1, 64, 160, 3), (1, 80, 80, 3), (1, 132, 80, 3)]
    assert all(torch.isfinite(entry).all() for entry in images)
    assert torch.equal(images[2], executor.recorded(alone)[0])
    assert ["nan" in text.lower() for text in reports] == [False, True, False]
    assert "60 NaN" in reports[1]  # 20 x 3 values


@pytest.mark.every_comfyui
def test_folder_of_mixed_sizes_by_the_core_node(executor: Executor) -> None:
    folder = executor.base / "input" / "batch"
    folder.mkdir(exist_ok=True)
    for name, size in (("a.png", (24, 16)), ("b.jpg", (20, 30)), ("c.webp", (16, 16))):
        Image.effect_noise(size, 40).convert("RGB").save(folder / name)
    graph = Graph()
    photos = graph.add("LoadImageDataSetFromFolder", folder="batch")
    recorded = executor.record(graph, graph.upscale(graph.load_model(), photos[0])[0])

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    shapes = {tuple(entry.shape) for entry in executor.recorded(recorded)}  # in the order of the disk
    assert shapes == {(1, 64, 96, 3), (1, 120, 80, 3), (1, 64, 64, 3)}


def test_very_long_picture_is_done_when_it_fits_and_named_when_not(executor: Executor) -> None:
    strip = picture(2, 20_000)

    result, image, report = attempt(executor, strip, scale=2.0)
    too_large, kept, complaint = attempt(executor, strip, picture(10, 10), scale=4.0, max_megapixels=0.0)

    assert result.status == too_large.status == "success", result.complaint + too_large.complaint
    assert executor.recorded(image)[0].shape == (1, 4, 40_000, 3)
    assert "40000x4" in executor.recorded(report)[0]
    assert [tuple(entry.shape) for entry in executor.recorded(kept)] == [(1, 2, 20_000, 3), (1, 40, 40, 3)]
    assert "20000x2 px would become 80000x8: at most 65536 px a side" in executor.recorded(complaint)[0]


def test_bad_picture_in_a_batch_does_not_stop_the_others(executor: Executor) -> None:
    good = picture(20, 20)
    _, alone, _ = attempt(executor, good)

    result, image, report = attempt(executor, torch.cat([good, NAN_PICTURE, good]))

    assert result.status == "success", result.complaint
    (images,) = executor.recorded(image)
    assert images.shape == (3, 80, 80, 3)
    assert torch.isfinite(images).all()
    torch.testing.assert_close(images[0], executor.recorded(alone)[0][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(images[2], images[0], rtol=0, atol=1e-5)
    (text,) = executor.recorded(report)
    assert "nan" in text.lower()
    assert "2" in text  # the second picture of the batch


@pytest.mark.every_comfyui
def test_bad_picture_stops_when_asked_to(executor: Executor) -> None:
    result, _, _ = attempt(executor, picture(20, 20), NAN_PICTURE, on_error="stop")

    assert result.status == "error"
    assert "nan" in result.complaint.lower()
    assert "20" in result.complaint  # 20 x 3 values of the row are not numbers


@pytest.fixture
def model_folder(executor: Executor) -> Iterator[Path]:
    """The folder of HeadsUp models, emptied afterwards."""
    folder = executor.base / "models" / "headsup"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    for file in folder.iterdir():
        if file.is_file():  # folders in it are those of other kinds of files
            file.unlink()


def load(executor: Executor, name: str) -> ExecutorResult:
    graph = Graph()
    image = executor.values(graph, picture(8, 8))
    executor.record(graph, graph.upscale(graph.load_model(model=name), image)[0])
    return executor.run(graph)


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def write_bad_model(kind: str, file: Path, bundled_model: Path) -> None:
    if kind == "no model":
        file.write_bytes(b"this is a text file, not a model " * 50)
    elif kind == "empty":
        file.write_bytes(b"")
    else:
        whole = bundled_model.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("kind", ["no model", "empty", "cut short"])
def test_bad_model_file_is_named(executor: Executor, model_folder: Path, bundled_model: Path, kind: str) -> None:
    name = f"{kind.replace(' ', '-')}.safetensors"
    write_bad_model(kind, model_folder / name, bundled_model)

    result = load(executor, name)

    assert result.status == "error"
    assert name in result.complaint


def test_pickle_that_runs_code_is_refused(executor: Executor, model_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    (model_folder / "evil.pth").write_bytes(pickle.dumps(Bomb(target)))

    result = load(executor, "evil.pth")

    assert result.status in ("rejected", "error")
    assert "evil.pth" in result.complaint
    assert not target.exists()


@pytest.mark.every_comfyui
def test_name_outside_the_folder_is_refused(executor: Executor, bundled_model: Path) -> None:
    outside = executor.base / "models" / "outside.safetensors"
    outside.write_bytes(bundled_model.read_bytes())

    result = load(executor, "../outside.safetensors")

    assert result.status in ("rejected", "error")
    assert "outside.safetensors" in result.complaint


@pytest.mark.every_comfyui
def test_model_from_the_folder_works(executor: Executor, model_folder: Path, bundled_model: Path) -> None:
    (model_folder / "mine.safetensors").write_bytes(bundled_model.read_bytes())

    result = load(executor, "mine.safetensors")

    assert result.status == "success", result.complaint
