"""The faces and the preview that HeadsUpUpscale gives, and its identity gate, in ComfyUI."""

from __future__ import annotations

import pytest
import torch
from harness.executor import Executor, finish
from harness.graph import Graph, Output
from harness.images import picture
from harness.people import astronaut


def knowing(executor: Executor, graph: Graph, photo: torch.Tensor, name: str = "Eileen") -> Output:
    """A model that knows the person in a photo."""
    people = graph.encode(executor.values(graph, photo), name=name)[0]
    return graph.add(
        "HeadsUpInjectIdentity", model=graph.load_model(), identities=people, strength=1.0, match_threshold=0.4
    )[0]


def test_known_face_is_scored_and_shown(executor: Executor) -> None:
    graph = Graph()
    model = knowing(executor, graph, astronaut(200).flip(2))
    image = executor.values(graph, astronaut(128))
    on = graph.upscale(model, image, scale=2.0, identity_gate="on")
    off = graph.upscale(model, image, scale=2.0, identity_gate="off")
    mask = graph.add("HeadsUpFacesToMask", faces=on[3], shape="ellipse", which="", grow=0.0, feather=0.25)

    report, preview, silent, nameless, where = finish(executor, graph, on[2], on[4], off[2], off[4], mask[0])

    assert "face 0: Eileen, identity " in report
    assert " -> " in report
    assert preview.shape == (1, 512, 512, 3)  # enlarged, so that words can be read
    assert "identity " not in silent.split("face 0:")[1]
    assert not torch.equal(preview, nameless)
    assert where.shape == (1, 256, 256)
    assert where.mean() > 0.05


def test_faces_and_preview_without_people(executor: Executor) -> None:
    graph = Graph()
    image = executor.values(graph, picture(25, 320, batch=2))
    node = graph.upscale(graph.load_model(), image, scale=4.0)
    mask = graph.add("HeadsUpFacesToMask", faces=node[3], shape="ellipse", which="", grow=0.0, feather=0.25)

    after, preview, nobody = finish(executor, graph, node[0], node[4], mask[0])

    assert after.shape == (2, 100, 1280, 3)
    assert preview.shape == (2, 80, 1024, 3)  # at most 1024 px
    small = torch.nn.functional.interpolate(after.permute(0, 3, 1, 2), size=(80, 1024), mode="area")
    torch.testing.assert_close(preview, small.permute(0, 2, 3, 1), rtol=0, atol=1 / 255)
    assert nobody.shape == (2, 100, 1280)
    assert not nobody.any()


@pytest.mark.every_comfyui
def test_given_faces_come_out_at_the_size_of_the_result(executor: Executor) -> None:
    graph = Graph()
    image = executor.values(graph, astronaut(128))
    found = graph.detect(image)[0]
    node = graph.upscale(graph.load_model(), image, scale=2.0, faces=found)
    masks = [
        graph.add("HeadsUpFacesToMask", faces=faces, shape="box", which="", grow=0.0, feather=0.0)[0]
        for faces in (found, node[3])
    ]

    small, large = finish(executor, graph, *masks)

    assert large.shape == (1, 256, 256)
    larger = torch.nn.functional.interpolate(small[None], scale_factor=2)[0]
    assert (large - larger).abs().mean() < 0.02
    assert large.mean() > 0.05
