"""Masks of faces."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from harness.faces import face_at
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.faces import Faces
from headsup_core.faces.masks import ELLIPSE, HULL_MARGIN, Outline, Shape, faces_mask

FACES = Faces(((face_at(60, 50, 20), face_at(150, 60, 12)), ()), 120, 200)


def _eye_middle(index: int) -> torch.Tensor:
    return FACES[0][index].landmarks[:2].mean(0)


def test_box_is_the_box() -> None:
    mask = faces_mask(FACES, outline=Outline(shape="box", feather=0.0), only=[0])
    assert mask.shape == (1, 1, 120, 200)
    # the box reaches from 40 to 80 and from 24 to 76, its border included
    expected = torch.zeros(120, 200)
    expected[24:77, 40:81] = 1
    assert torch.equal(mask[0, 0], expected)


def test_ellipse_has_its_area_and_follows_a_turned_head() -> None:
    mask = faces_mask(FACES, outline=Outline(shape="ellipse", feather=0.0), only=[0])
    eyes = FACES[0][0].eye_distance
    area = math.pi * ELLIPSE[2] * ELLIPSE[3] * eyes**2
    assert float(mask.sum()) == pytest.approx(area, rel=0.02)
    face = FACES[0][0]
    quarter = face.landmarks - face.landmarks.mean(0)
    quarter = torch.stack([-quarter[:, 1], quarter[:, 0]], dim=1) + face.landmarks.mean(0)
    turned = Faces(((type(face)(face.box, quarter, 1.0),),), 120, 200)
    rows = faces_mask(turned, outline=Outline(shape="ellipse", feather=0.0))[0, 0].any(1).sum()
    columns = faces_mask(turned, outline=Outline(shape="ellipse", feather=0.0))[0, 0].any(0).sum()
    assert columns > rows  # lying


def test_hull_holds_the_landmarks_with_its_margin() -> None:
    mask = faces_mask(FACES, outline=Outline(shape="hull", feather=0.0), only=[0])[0, 0]
    for x, y in FACES[0][0].landmarks.round().long().tolist():
        assert mask[y, x] == 1
    left = FACES[0][0].landmarks[0]
    reach = HULL_MARGIN * FACES[0][0].eye_distance
    assert mask[round(float(left[1])), round(float(left[0] - reach + 1))] == 1
    assert mask[round(float(left[1])), round(float(left[0] - reach - 2))] == 0


@pytest.mark.parametrize("shape", ["box", "ellipse", "hull"])
def test_feather_is_inside_and_grow_moves_the_outline(shape: Shape) -> None:
    hard = faces_mask(FACES, outline=Outline(shape=shape, feather=0.0), only=[0])
    soft = faces_mask(FACES, outline=Outline(shape=shape, feather=0.3), only=[0])
    assert bool((soft <= hard).all())
    assert 0.2 * float(hard.sum()) < float(soft.sum()) < 0.95 * float(hard.sum())
    assert len(soft.unique()) > 5
    outlines = [Outline(shape, grow) for grow in (-0.3, 0.0, 0.3)]
    sums = [float(faces_mask(FACES, outline=outline, only=[0]).sum()) for outline in outlines]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(sums))


def test_several_faces_are_joined_and_none_is_black() -> None:
    both, first, second = (faces_mask(FACES, only=only) for only in (None, [0], [1]))
    assert torch.equal(both, torch.maximum(first, second))
    assert float(second[0, 0, 60, 150]) == 1
    assert float(faces_mask(FACES, picture=1).max()) == 0


def test_wrong_wishes_are_refused() -> None:
    with raises_naming(InputError, 2):
        faces_mask(FACES, only=[2])
    with raises_naming(InputError, "star", "ellipse", "box"):
        faces_mask(FACES, outline=Outline(shape="star"))  # type: ignore[arg-type]
    with raises_naming(InputError, "parsing", "facexlib"):
        faces_mask(FACES, outline=Outline(shape="parsing"))
    with raises_naming(InputError, "feather", -1):
        faces_mask(FACES, outline=Outline(feather=-1))
