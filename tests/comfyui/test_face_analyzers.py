"""Analyzers with model files, through their node: real signatures, made-up weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.executor import Executor, ExecutorResult
from harness.face_models import make_pack, make_parsenet, make_retinaface, spots
from harness.graph import Graph, Node
from harness.people import astronaut

SPOTS = spots(120, 200, (50, 60), (140, 50)).permute(0, 2, 3, 1)  # two faces to the made-up SCRFD
SMALL = spots(90, 90).permute(0, 2, 3, 1)  # one face to the made-up RetinaFace


@pytest.fixture
def models(executor: Executor) -> Iterator[Path]:
    """ComfyUI's models folder; the face models in it are removed afterwards."""
    folder = executor.base / "models"
    yield folder
    for name in ("insightface", "facedetection"):
        shutil.rmtree(folder / name, ignore_errors=True)


@pytest.fixture(scope="session")
def parsenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_parsenet(tmp_path_factory.mktemp("parsenet") / "parsing_parsenet.pth")


def run(executor: Executor, image: torch.Tensor, **inputs: Any) -> tuple[ExecutorResult, list[Path]]:
    """Load an analyzer and detect; the recordings of info, count and mask."""
    graph = Graph()
    node = graph.analyzer(**inputs)
    found = graph.detect(executor.values(graph, image), analyzer=node[0])
    paths = [executor.record(graph, output) for output in (node[1], found[3], found[1])]
    return executor.run(graph), paths


def found_by(executor: Executor, image: torch.Tensor, **inputs: Any) -> tuple[str, int, torch.Tensor]:
    result, paths = run(executor, image, **inputs)
    assert result.status == "success", result.complaint
    info, count, mask = (executor.recorded(path)[0] for path in paths)
    return info, count, mask


def refused(executor: Executor, image: torch.Tensor = SPOTS, **inputs: Any) -> str:
    result, _ = run(executor, image, **inputs)
    assert result.status == "error", result
    return result.complaint


@pytest.mark.every_comfyui
def test_default_needs_nothing_and_may_be_sold(executor: Executor) -> None:
    info, count, _ = found_by(executor, astronaut())

    assert count == 1
    assert "commercial use: yes" in info
    assert "recognises people: yes, embeddings dlib_resnet_v1" in info


@pytest.mark.every_comfyui
def test_tooltip_states_the_licences(executor: Executor) -> None:
    info = executor.object_info()["HeadsUpLoadFaceAnalyzer"]
    tooltip = info["input"]["required"]["backend"][1]["tooltip"]

    assert [name for name in ("dlib", "insightface", "opencv", "facexlib") if f"{name}: needs" not in tooltip] == []
    assert "commercial use: NO" in tooltip
    assert "commercial use: yes" in tooltip


@pytest.mark.parametrize("nested", [False, True])
def test_insightface_pack(executor: Executor, models: Path, nested: bool) -> None:
    make_pack(models / "insightface" / "models" / "antelopev2", nested=nested)

    info, count, mask = found_by(executor, SPOTS, backend="insightface", pack="antelopev2", device="cpu")

    assert count == 2
    assert mask[0, 60, 50] == mask[0, 50, 140] == 1
    assert mask[0, 110, 95] == 0
    assert "det_10g.onnx, w600k_r50.onnx" in info
    assert "commercial use: NO" in info
    assert "insightface_w600k_r50" in info


@pytest.mark.every_comfyui
def test_packs_that_are_there_come_first(executor: Executor, models: Path) -> None:
    make_pack(models / "insightface" / "models" / "mine", nested=True)
    (models / "insightface" / "models" / "empty").mkdir()

    spec = executor.object_info()["HeadsUpLoadFaceAnalyzer"]["input"]["required"]["pack"]
    choices = spec[0] if isinstance(spec[0], list) else spec[1]["options"]

    assert choices == ["mine", "buffalo_l", "antelopev2", "buffalo_m", "buffalo_s", "buffalo_sc"]
    assert found_by(executor, SPOTS, backend="insightface", pack="mine")[1] == 2


@pytest.mark.parametrize("pack", ["buffalo_l", "of_another_machine"])
def test_missing_pack_says_where_it_belongs(executor: Executor, models: Path, pack: str) -> None:
    said = refused(executor, backend="insightface", pack=pack)

    assert f"models/insightface/models/{pack}" in said
    assert "download" in said


@pytest.mark.parametrize("pack", ["../../outside", "..\\..\\outside", "a/../../../outside"])
def test_pack_outside_its_folder_is_refused(executor: Executor, models: Path, pack: str) -> None:
    make_pack(executor.base / "outside")

    assert "leaves its folder" in refused(executor, backend="insightface", pack=pack)


def test_damaged_pack_names_the_file(executor: Executor, models: Path) -> None:
    folder = make_pack(models / "insightface" / "models" / "buffalo_l")
    whole = (folder / "det_10g.onnx").read_bytes()
    (folder / "det_10g.onnx").write_bytes(whole[: len(whole) // 2])

    said = refused(executor, backend="insightface")

    assert "det_10g.onnx" in said
    assert "damaged" in said


def test_pack_without_recogniser_detects_but_does_not_encode(executor: Executor, models: Path) -> None:
    make_pack(models / "insightface" / "models" / "buffalo_l", recogniser=False)

    info, count, _ = found_by(executor, SPOTS, backend="insightface")
    graph = Graph()
    node = graph.encode(executor.values(graph, SPOTS), analyzer=graph.analyzer(backend="insightface")[0])
    executor.record(graph, node[2])
    result = executor.run(graph)

    assert count == 2
    assert "recognises people: no" in info
    assert result.status == "error"
    assert "no recognition model" in result.complaint


@pytest.mark.every_comfyui
def test_replaced_file_is_read_again(executor: Executor, models: Path) -> None:
    folder = models / "insightface" / "models" / "buffalo_l"
    make_pack(folder, blind=True)
    assert found_by(executor, SPOTS, backend="insightface")[1] == 0

    make_pack(folder)

    assert found_by(executor, SPOTS, backend="insightface")[1] == 2


def same(executor: Executor, graph: Graph, a: Node, b: Node) -> bool:
    path = executor.record(graph, graph.add("HarnessSame", a=a[0], b=b[0])[0])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return executor.recorded(path)[0]


@pytest.mark.every_comfyui
def test_nodes_that_load_the_same_share_it(executor: Executor, models: Path) -> None:
    make_pack(models / "insightface" / "models" / "buffalo_l")
    make_pack(models / "insightface" / "models" / "buffalo_s")
    graph, other = Graph(), Graph()

    assert same(executor, graph, *(graph.analyzer(backend="insightface", device=d) for d in ("auto", "cpu")))
    assert not same(executor, other, *(other.analyzer(backend="insightface", pack=f"buffalo_{k}") for k in "ls"))


def test_facexlib_finds_and_does_not_recognise(executor: Executor, models: Path) -> None:
    make_retinaface(models / "facedetection" / "detection_mobilenet0.25_Final.pth")

    info, count, _ = found_by(executor, SMALL, backend="facexlib")
    graph = Graph()
    node = graph.encode(executor.values(graph, SMALL), analyzer=graph.analyzer(backend="facexlib")[0])
    executor.record(graph, node[2])
    result = executor.run(graph)

    assert count == 1
    assert "recognises people: no" in info
    assert "masks by parsing: no" in info
    assert result.status == "error"
    assert "cannot recognise" in result.complaint


def test_mask_by_parsing(executor: Executor, models: Path, parsenet: Path) -> None:
    make_retinaface(models / "facedetection" / "detection_mobilenet0.25_Final.pth")
    (models / "facedetection" / "parsing_parsenet.pth").symlink_to(parsenet)
    graph = Graph()
    image = executor.values(graph, SMALL)
    faces = graph.detect(image, analyzer=graph.analyzer(backend="facexlib")[0])[0]
    inputs = {"shape": "parsing", "grow": 0.0, "feather": 0.1, "which": ""}
    path = executor.record(graph, graph.add("HeadsUpFacesToMask", faces=faces, image=image, **inputs)[0])

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    (mask,) = executor.recorded(path)
    assert mask.shape == (1, 90, 90)
    assert 0 <= mask.min() < mask.max() <= 1


@pytest.mark.parametrize(
    ("backend", "said"),
    [("opencv", "face_detection_yunet_2023mar.onnx"), ("facexlib", "detection_Resnet50_Final.pth")],
)
def test_missing_files_are_named(executor: Executor, models: Path, backend: str, said: str) -> None:
    assert said in refused(executor, backend=backend)


@pytest.mark.parametrize(
    ("backend", "name"),
    [("opencv", "face_detection_yunet_2023mar.onnx"), ("facexlib", "detection_mobilenet0.25_Final.pth")],
)
def test_damaged_files_are_named(executor: Executor, models: Path, backend: str, name: str) -> None:
    (models / "facedetection").mkdir()
    (models / "facedetection" / name).write_bytes(b"no model" * 100)

    assert name in refused(executor, backend=backend)
