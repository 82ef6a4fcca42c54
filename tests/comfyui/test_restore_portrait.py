"""HeadsUpFaceRestorePortrait, everything in one node, in the executor of every supported ComfyUI."""

from __future__ import annotations

from typing import Any

import torch
from harness.executor import Executor, finish
from harness.graph import Graph, Node, Output
from harness.people import astronaut, hanks
from support.comfyui import OLDEST

WALL = torch.full((1, 64, 64, 3), 0.5)
NAN_PICTURE = astronaut(96).index_fill(1, torch.tensor([3]), float("nan"))


def photos(executor: Executor, person: str, *outputs: Output) -> dict[str, Output]:
    """The inputs of photos of a person; the oldest version has the first alone."""
    assert executor.version != OLDEST or len(outputs) == 1
    prefix = "photo" if person == "photos" else f"{person}_photo"
    return {f"{person}.{prefix}_{number}": output for number, output in enumerate(outputs, 1)}


def restore(graph: Graph, image: Output, **inputs: Any) -> Node:
    return graph.add("HeadsUpFaceRestorePortrait", image=image, **({"scale": 2.0, "person_strength": 1.0} | inputs))


def by_hand(graph: Graph, image: Output, people: Output | None = None) -> Node:
    """The same as several nodes, as the blueprint has them; tiles and sizes chosen as the one node does."""
    model = graph.load_model()
    if people is not None:
        known = {"identities": people, "strength": 1.0, "match_threshold": 0.4}
        model = graph.add("HeadsUpInjectIdentity", model=model, **known)[0]
    faces = graph.detect(image, min_eye_distance=0.0)[0]
    chosen = {"tile": 0, "overlap": -1, "tile_batch": 0, "max_megapixels": 100.0}
    return graph.upscale(model, image, faces=faces, scale=2.0, **chosen)


def test_gives_what_the_nodes_of_the_blueprint_give(executor: Executor) -> None:
    graph = Graph()
    image, photo = executor.values(graph, astronaut(96)), executor.values(graph, astronaut(200).flip(2))
    person = graph.encode(photo, name="person 1")[0]
    alone, told = restore(graph, image), restore(graph, image, **photos(executor, "photos", photo))
    apart, together = by_hand(graph, image), by_hand(graph, image, person)

    plain, named, before, report, by_nodes, named_by_nodes = finish(
        executor, graph, alone[0], told[0], told[1], told[2], apart[0], together[0]
    )

    assert plain.shape == before.shape == (1, 192, 192, 3)
    assert torch.equal(plain, by_nodes)
    assert torch.equal(named, named_by_nodes)
    assert not torch.equal(plain, named)
    assert "face 0: person 1 (score" in report
    assert "person 1: photo 1: used" in report


def test_strength_of_the_person(executor: Executor) -> None:
    graph = Graph()
    image, photo = executor.values(graph, astronaut(96)), executor.values(graph, astronaut(200).flip(2))
    shown = photos(executor, "photos", photo)

    plain, none = finish(
        executor, graph, restore(graph, image)[0], restore(graph, image, person_strength=0.0, **shown)[0]
    )

    assert torch.equal(plain, none)


def test_people_of_a_group_photo_are_told_apart(executor: Executor) -> None:
    graph = Graph()
    scaled = torch.nn.functional.interpolate(hanks().permute(0, 3, 1, 2), (128, 128), mode="bilinear")
    image = executor.values(graph, torch.cat([astronaut(128), scaled.permute(0, 2, 3, 1)], dim=2))
    known = photos(executor, "photos", executor.values(graph, hanks()))
    known |= photos(executor, "person_3", executor.values(graph, astronaut(200).flip(2)))

    (report,) = finish(executor, graph, restore(graph, image, scale=1.0, **known)[2])

    lines = [line for line in report.splitlines() if line.startswith("face ")]
    assert {line.split(" (")[0].split(": ")[1] for line in lines if "conditioned" in line} == {"person 1", "person 2"}


def test_sockets_grow_where_the_version_has_them(executor: Executor) -> None:
    node = executor.object_info()["HeadsUpFaceRestorePortrait"]
    for name, first in (("photos", "photo_1"), ("person_2", "person_2_photo_1"), ("person_4", "person_4_photo_1")):
        if executor.version == OLDEST:
            assert node["input"]["optional"][f"{name}.{first}"][0] == "IMAGE"
        else:
            kind, options = node["input"]["optional"][name]
            assert kind == "COMFY_AUTOGROW_V3"
            assert options["template"]["names"][0] == first
            assert len(options["template"]["names"]) == 8
            assert options["template"]["min"] == 0


def test_photo_without_a_face_is_named_and_the_picture_is_restored(executor: Executor) -> None:
    graph = Graph()
    image = executor.values(graph, astronaut(96))
    node = restore(graph, image, **photos(executor, "photos", executor.values(graph, WALL)))
    paths = [executor.record(graph, output) for output in (node[0], node[2], restore(graph, image)[0])]

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    restored, report, plain = [executor.recorded(path)[0] for path in paths]
    assert torch.equal(restored, plain)
    for text in (report, result.outputs[node.id]["text"][0]):
        assert "no face was found in the 1 photo of person 1" in text


def test_photo_of_a_stranger_is_named_and_not_used(executor: Executor) -> None:
    """One face and one person: the gate says it. Two faces: nobody is taken for the person. No face: that is said."""
    graph = Graph()
    shown = photos(executor, "photos", executor.values(graph, hanks()))
    one = restore(graph, executor.values(graph, astronaut(96)), **shown)
    both = torch.cat([astronaut(96), astronaut(96)], dim=2)
    two = restore(graph, executor.values(graph, both), scale=1.0, **shown)
    none = restore(graph, executor.values(graph, WALL), scale=1.0, **shown)
    unusable = restore(graph, executor.values(graph, NAN_PICTURE), scale=1.0, **shown)
    for node in (one, two, none, unusable):
        executor.record(graph, node[0])

    result = executor.run(graph)

    assert result.status == "success", result.complaint
    assert result.outputs[one.id]["text"][0].startswith("face 0: person 1, restored without the reference (the photo ")
    assert "identity_gate is an advanced input" in result.outputs[one.id]["text"][0]
    assert result.outputs[none.id]["text"][0].startswith("no face was found in the picture")
    assert "no face" not in result.outputs[unusable.id]["text"][0]
    assert "person 1 was not found in the picture" in result.outputs[two.id]["text"][0]


def test_what_failed_is_said_again_when_the_result_comes_from_the_cache(executor: Executor) -> None:
    """The oldest ComfyUI keeps it without sending it again; there the page goes on showing it."""
    graph = Graph()
    bad = executor.values(graph, torch.cat([astronaut(96), NAN_PICTURE]))
    node = restore(graph, bad, scale=1.0)
    executor.record(graph, node[0])

    first, again = executor.run(graph), executor.run(graph)

    assert first.status == again.status == "success", first.complaint
    (said,) = first.outputs[node.id]["text"]
    assert said.startswith("picture 2 of 2: not restored, plainly enlarged instead")
    assert node.id not in again.executed
    if executor.version != OLDEST:
        assert again.outputs[node.id]["text"] == [said]


def test_several_photos_of_any_size(executor: Executor) -> None:
    if executor.version == OLDEST:
        return  # one socket for a batch, which is of one size
    graph = Graph()
    image = executor.values(graph, astronaut(96))
    shown = [executor.values(graph, photo) for photo in (astronaut(200).flip(2), astronaut(160), WALL)]

    (report,) = finish(executor, graph, restore(graph, image, scale=1.0, **photos(executor, "photos", *shown))[2])

    lines = [line for line in report.splitlines() if line.startswith("person 1: photo")]
    assert ["left out" in line for line in sorted(lines)] == [False, False, True]
