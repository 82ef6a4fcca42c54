"""IDFSR's nodes in the executor of ComfyUI: a tiny model of random weights, and the bundled one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.executor import Executor, finish
from harness.graph import Graph, Node, Output
from harness.idfsr import write_idfsr
from harness.people import astronaut

from headsup_core.faces.registry import load_face_analyzer
from headsup_core.identity import encode_identity, save_identity
from headsup_core.identity.similarity import compare
from headsup_core.idfsr.idfsr_file import load_idfsr
from headsup_core.imaging.resizing import resize

FILE = "tiny-idfsr.safetensors"


@pytest.fixture
def model_file(executor: Executor) -> Iterator[Path]:
    path = executor.base / "models" / "headsup" / FILE
    write_idfsr(path)
    yield path
    path.unlink()


def known_face(graph: Graph, executor: Executor) -> tuple[Node, Node, Node, Output]:
    """Loaded model, encoded identity and faces with her name, of a photo of the astronaut."""
    photo = executor.values(graph, astronaut(200))
    loaded = graph.add("HeadsUpLoadIDFSR", model=FILE)
    encoded = graph.encode(photo, name="Eileen")
    detected = graph.detect(photo)
    assigned = graph.add(
        "HeadsUpAssignIdentities", image=photo, faces=detected[0], identities=encoded[0], threshold=0.4, override=""
    )
    return loaded, encoded, assigned, photo


def save_fitted(executor: Executor, model_id: str) -> str:
    """The choice of an identity that `identity fit` would have written for the model."""
    photo = astronaut(200).movedim(-1, 1)
    person = encode_identity(photo, load_face_analyzer("dlib"), "Eileen")
    fitted = replace(person, fitted={model_id: torch.linspace(-1, 1, 128)})
    return save_identity(executor.base / "output" / "headsup" / "identities", fitted).name + " (output)"


@pytest.mark.every_comfyui
def test_a_face_is_warped_and_restored_after_the_loader(executor: Executor, model_file: Path) -> None:
    """By the photo's embedding, and by what `identity fit` stored in the person's file."""
    graph = Graph()
    loaded, encoded, assigned, photo = known_face(graph, executor)
    name = save_fitted(executor, load_idfsr(model_file).model_id)
    fitted = graph.add("HeadsUpLoadIdentity", identity=name, name="")
    warped = graph.add("HeadsUpWarpReference", image=photo, faces=assigned[0], reference=encoded[0], size=64)
    restored = [
        graph.add(
            "HeadsUpRestoreFacesIDFSR", image=photo, faces=assigned[0], identities=people[0], idfsr_model=loaded[0],
            steps=2, seed=1, feather=0.125, allow_smaller=True, device="cpu",
        )
        for people in (encoded, fitted)
    ]  # fmt: skip
    outputs = [loaded[1], warped[0], warped[1], warped[2], restored[0][0], restored[0][1]]
    paths = [executor.record(graph, output) for output in [*outputs, restored[1][0]]]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    info, laid, masked, mask, plain, report, personal = (executor.recorded(path)[0] for path in paths)

    assert "identity: embeddings of dlib_resnet_v1" in info
    assert laid.shape == masked.shape == (1, 64, 64, 3)
    assert mask.shape == (1, 64, 64)
    assert (masked[mask > 0.999] - 0.5).abs().max() < 1e-3
    assert (laid[mask > 0.999] - 0.5).abs().mean() > 0.05
    assert "(Eileen): restored, score" in report
    assert plain.shape == (1, *astronaut(200).shape[1:])
    assert torch.equal(plain[0, 0, 0], personal[0, 0, 0])
    assert not torch.equal(plain, personal)  # the fitted embedding is used


def test_the_bundled_model_makes_a_wiped_out_face_more_like_the_person(executor: Executor) -> None:
    side, small = 176, 22
    sharp = astronaut(side)
    wiped = resize(resize(sharp.movedim(-1, 1), small, small), side, side).clamp(0, 1)
    graph = Graph()
    encoded = graph.encode(executor.values(graph, astronaut(256)), name="Eileen")
    detected = graph.detect(executor.values(graph, sharp))
    low = executor.values(graph, wiped.movedim(1, -1))
    assigned = graph.add(
        "HeadsUpAssignIdentities", image=low, faces=detected[0], identities=encoded[0], threshold=0.4,
        override="0=Eileen",
    )  # fmt: skip
    loaded = graph.add("HeadsUpLoadIDFSR", model="idfsr-tiny (bundled)")
    node = graph.add(
        "HeadsUpRestoreFacesIDFSR", image=low, faces=assigned[0], identities=encoded[0], idfsr_model=loaded[0],
        steps=4, seed=0, feather=0.125, allow_smaller=False, device="cpu",
    )  # fmt: skip
    info, report, image = finish(executor, graph, loaded[1], node[1], node[0])

    assert "faces: 128 px a side" in info
    assert "WARNING: it does not look like Eileen" in report
    dlib = load_face_analyzer("dlib")
    faces = dlib.detect(sharp.movedim(-1, 1))
    person, before, after = (
        dlib.embed(picture, faces)[0][0].embedding for picture in (sharp.movedim(-1, 1), wiped, image.movedim(-1, 1))
    )
    assert person is not None
    assert before is not None
    assert after is not None
    scores = [compare(vector, person, dlib.embedder_id).score for vector in (before, after)]
    assert scores[1] > scores[0] + 0.15, scores  # measured: 0.36 and 0.75


def test_load_model_takes_it_like_every_other(executor: Executor, model_file: Path) -> None:
    graph = Graph()
    encoded = graph.encode(executor.values(graph, astronaut(200)), name="Eileen")
    loaded = graph.add("HeadsUpLoadModel", model=FILE, dtype="auto", device="cpu")
    known = graph.add(
        "HeadsUpInjectIdentity", model=loaded[0], identities=encoded[0], strength=1.0, match_threshold=0.4
    )
    tiny = executor.values(graph, astronaut(40))  # eyes 6.7 px apart
    found = graph.detect(tiny, min_eye_distance=5.0)
    upscaled = [
        graph.upscale(model, tiny, scale=3.0, faces=found[0], identity_gate="off") for model in (known[0], loaded[0])
    ]
    info, image, report, alone = finish(executor, graph, loaded[1], upscaled[0][0], upscaled[0][2], upscaled[1][0])

    assert "known faces: unnamed (unknown) paints" in info
    assert "headsup-tiny with unnamed" in report
    assert "faces painted by unnamed: 1" in report
    assert (image - alone).abs().max() > 0.05
    assert torch.allclose(image[:, :4], alone[:, :4], atol=1e-5)  # above her hair


def test_a_large_face_stays_unless_told_otherwise(executor: Executor, model_file: Path) -> None:
    graph = Graph()
    loaded, encoded, assigned, photo = known_face(graph, executor)
    node = graph.add(
        "HeadsUpRestoreFacesIDFSR", image=photo, faces=assigned[0], identities=encoded[0], idfsr_model=loaded[0],
        steps=1, seed=1, feather=0.125, allow_smaller=False, device="cpu",
    )  # fmt: skip
    image, report = executor.record(graph, node[0]), executor.record(graph, node[1])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    assert "it would become coarser" in executor.recorded(report)[0]
    assert torch.equal(executor.recorded(image)[0], astronaut(200))
