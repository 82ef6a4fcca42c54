"""Old photographs and cut-outs through the nodes: grey stays grey, a tint its hue, hidden colours stay hidden."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from harness.executor import Executor, finish
from harness.graph import Graph, Output
from harness.people import astronaut

SEPIA = torch.tensor([1.0, 220 / 255, 170 / 255])


def eight_bits(picture: torch.Tensor) -> torch.Tensor:
    return (picture * 255).round() / 255


def grey(side: int) -> torch.Tensor:
    return eight_bits(astronaut(side).mean(-1, keepdim=True)).expand(-1, -1, -1, 3).clone()


def hue(picture: torch.Tensor) -> torch.Tensor:
    red, green, blue = picture.double().unbind(-1)
    return torch.rad2deg(torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue))


def restored(graph: Graph, image: Output, photo: Output | None, **inputs: Any) -> Output:
    shown = {} if photo is None else {"photos.photo_1": photo}
    return graph.add("HeadsUpFaceRestorePortrait", image=image, scale=2.0, person_strength=1.0, **shown, **inputs)[0]


@pytest.mark.every_comfyui
@pytest.mark.parametrize(("model", "side"), [("headsup-tiny (bundled)", 96), ("idfsr-tiny (bundled)", 44)])
def test_old_photographs_stay_grey_or_brown_beside_a_photo_in_colour(
    executor: Executor, model: str, side: int
) -> None:
    graph = Graph()
    photo = executor.values(graph, astronaut(200).flip(2))
    loaded = graph.load_model(model=model)
    old, brown = executor.values(graph, grey(side)), executor.values(graph, eight_bits(grey(side) * SEPIA))

    alone, told, brown_alone, brown_told = finish(
        executor,
        graph,
        *(restored(graph, image, shown, model=loaded) for image in (old, brown) for shown in (None, photo)),
    )

    for picture in (alone, told):
        assert (picture.amax(-1) - picture.amin(-1)).max() == 0
    assert not torch.equal(alone, told)
    assert not torch.equal(brown_alone, brown_told)
    for picture in (brown_alone, brown_told):
        seen = picture.amax(-1) - picture.amin(-1) > 6 / 255
        assert seen.float().mean() > 0.3
        assert (hue(picture)[seen] - hue(SEPIA)).abs().max() < 2


@pytest.mark.every_comfyui
def test_colours_that_nobody_sees_change_nothing(executor: Executor) -> None:
    graph = Graph()
    picture, alpha = astronaut(64), torch.zeros(1, 64, 64, 1)
    alpha[:, 8:56, 8:48] = 1
    cut = [torch.cat([torch.where(alpha > 0, picture, hidden), alpha], dim=-1) for hidden in (0.0, 1.0, picture)]
    model = graph.load_model()

    black, white, own = finish(
        executor, graph, *(graph.upscale(model, executor.values(graph, each))[0] for each in cut)
    )

    for other in (white, own):
        assert torch.equal(black[..., 3], other[..., 3])
        seen = (black - other)[..., :3].abs() * black[..., 3:]
        assert seen.max() <= 2 / 255
