"""The face nodes in a real browser."""

from __future__ import annotations

import pytest
from harness.face_restorers import write_onnx
from harness.graph import LOAD_MODEL, Graph
from harness.page import ComfyPage
from support.sample import NAME
from support.server import ComfyServer

RUN_SECONDS = 600


def test_face_nodes_appear_and_run(comfy_page: ComfyPage) -> None:
    """Every widget takes the value that the prompt gives it, nothing is reported, and the previews are shown."""
    graph = Graph()
    photo = graph.add("LoadImage", image=NAME)
    analyzer = graph.analyzer()[0]
    faces = graph.detect(photo[0], analyzer=analyzer)[0]
    person = graph.encode(photo[0], analyzer=analyzer, no_face="pass through")[0]
    loaded = graph.add("HeadsUpLoadIdentity", identity="none", name="", identities=person)
    graph.save_identity(loaded[0])
    compared = graph.compare(image_a=photo[0], image_b=photo[0], no_face="pass through")
    shape = {"shape": "ellipse", "grow": 0.0, "feather": 0.25, "which": ""}
    mask = graph.add("HeadsUpFacesToMask", faces=faces, image=photo[0], **shape)
    graph.add("HeadsUpFacesToSEGS", faces=faces, image=photo[0], crop_factor=3.0, **shape)
    graph.add("MaskPreview", mask=mask[0])
    graph.add("PreviewImage", images=compared[2])
    comfy_page.load_prompt(graph.prompt, "faces")

    queued = comfy_page.prompt()
    comfy_page.run()
    shown = {
        name: comfy_page.wait_for_images(name, RUN_SECONDS)
        for name in ("HeadsUpDetectFaces", "HeadsUpEncodeIdentity", "HeadsUpCompareIdentity", "MaskPreview")
    }
    comfy_page.settle()

    expected = {node["class_type"] for node in graph.prompt.values()}
    assert set(comfy_page.node_types()) == expected <= comfy_page.known_types()
    values = {node["class_type"]: node["inputs"] for node in queued.values()}
    for node in graph.prompt.values():
        widgets = {key: value for key, value in node["inputs"].items() if not isinstance(value, list)}
        assert {key: values[node["class_type"]][key] for key in widgets} == widgets
    assert all(shown.values())
    assert comfy_page.problems() == []
    assert comfy_page.errors == []


def test_a_face_restorer_is_offered_and_runs(comfy_server: ComfyServer, request: pytest.FixtureRequest) -> None:
    """One that halves the contrast of the face; the report says whose it is and that it is not for commercial use."""
    path = write_onnx(comfy_server.base / "models" / "facerestore_models" / "GPEN-BFR-256.onnx")
    page: ComfyPage = request.getfixturevalue("comfy_page")  # opened when the file is there
    graph = Graph()
    photo = graph.add("LoadImage", image=NAME)
    chosen = {"model": f"{path.name} (facerestore_models)", "adapter": "none", "base": "none"}
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | chosen))
    faces = graph.detect(photo[0])[0]
    node = graph.upscale(loader[0], photo[0], faces=faces, scale=1.0)
    graph.add("PreviewImage", images=node[4])
    graph.add("PreviewAny", source=loader[1])
    page.load_prompt(graph.prompt, "face restorer")
    assert page.problems() == []

    page.run()
    shown = page.wait_for_images("PreviewImage", RUN_SECONDS)
    said = page.wait_for_text("NON-COMMERCIAL", RUN_SECONDS)
    page.settle()
    path.unlink()

    assert len(shown) == 1
    assert "aligned faces of 256 px" in said
    assert page.problems() == []
    assert page.errors == []
