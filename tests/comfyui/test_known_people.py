"""People injected into a model and assigned to faces, in the executor of ComfyUI."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from harness.executor import Executor, finish, refused
from harness.graph import Graph, Node, Output
from harness.people import astronaut, hanks

INJECT: dict[str, Any] = {"strength": 1.0, "match_threshold": 0.4}


def inject(graph: Graph, model: Output, people: Output, **inputs: Any) -> Output:
    return graph.add("HeadsUpInjectIdentity", model=model, identities=people, **(INJECT | inputs))[0]


def assign(graph: Graph, image: Output, faces: Output, people: Output, **inputs: Any) -> Node:
    defaults: dict[str, Any] = {"threshold": 0.4, "override": ""}
    return graph.add(
        "HeadsUpAssignIdentities", image=image, faces=faces, identities=people, **(defaults | inputs)
    )


def known(executor: Executor, graph: Graph) -> Output:
    """Eileen and Tom."""
    first = graph.encode(executor.values(graph, astronaut(200).flip(2)), name="Eileen")
    return graph.encode(executor.values(graph, hanks()), name="Tom", identities=first[0])[0]


def small() -> torch.Tensor:
    return astronaut(96)


def test_upscale_knows_the_people_of_its_model(executor: Executor) -> None:
    graph = Graph()
    people, image = known(executor, graph), executor.values(graph, small())
    loaded = graph.load_model()
    plain = graph.upscale(loaded, image, scale=2.0)
    told = graph.upscale(inject(graph, loaded, people), image, scale=2.0)
    none = graph.upscale(inject(graph, loaded, people, strength=0.0), image, scale=2.0)

    before, after, report, untouched = finish(executor, graph, plain[0], told[0], told[2], none[0])

    assert "face 0: Eileen (score" in report
    assert "conditioned by reference" in report
    assert after.shape == before.shape
    assert torch.equal(untouched, before)


@pytest.mark.every_comfyui
def test_names_are_shown_and_corrected(executor: Executor) -> None:
    graph = Graph()
    people = known(executor, graph)
    image = executor.values(graph, torch.cat([astronaut(), hanks(256)]))
    found = graph.detect(image)[0]
    right = assign(graph, image, found, people)
    wrong = assign(graph, image, found, people, override="0=nobody")
    strict = assign(graph, image, found, people, threshold=1.0, override="0=Tom")
    restored = graph.upscale(inject(graph, graph.load_model(), people), image, scale=1.0, faces=wrong[0])

    text, preview, forbidden, given, report = finish(
        executor, graph, right[2], right[1], wrong[2], strict[2], restored[2]
    )

    assert "picture 1 of 2: face 0: Eileen (score" in text
    assert "picture 2 of 2: face 0: Tom (score" in text
    assert preview.shape == (2, 512, 512, 3)
    assert forbidden.count("nobody as given") == 2
    assert given.count("Tom") == 2
    assert given.count("as given") == 2
    assert "picture 1 of 2: face 0: nobody" in report
    assert "picture 2 of 2: face 0: nobody" in report
    assert "conditioned" not in report


def test_wrong_overrides_say_what_is_right(executor: Executor) -> None:
    graph = Graph()
    people, image = known(executor, graph), executor.values(graph, astronaut())
    faces = graph.detect(image)[0]
    wrong = {"0=Bob": "nobody is called 'Bob'", "Ada": "write index=name", "9=Tom": "no picture has"}
    for override, said in wrong.items():
        asked = deepcopy(graph)  # what was found and encoded comes from ComfyUI's cache
        node = assign(asked, image, faces, people, override=override)

        assert said in refused(executor, asked, node[2])


def test_chained_injections_add_people_of_different_names(executor: Executor) -> None:
    graph, other = Graph(), Graph()
    photo = executor.values(graph, astronaut(200).flip(2))
    tom = inject(graph, graph.load_model(), graph.encode(executor.values(graph, hanks()), name="Tom")[0])
    both = inject(graph, tom, graph.encode(photo, name="Eileen")[0])
    people = known(executor, other)
    twice = inject(other, inject(other, other.load_model(), people), people)

    (report,) = finish(executor, graph, graph.upscale(both, executor.values(graph, small()), scale=1.0)[2])

    assert "face 0: Eileen" in report
    assert "next Tom" in report
    assert "two people called 'Eileen'" in refused(
        executor, other, other.upscale(twice, executor.values(other, small()), scale=1.0)[2]
    )
