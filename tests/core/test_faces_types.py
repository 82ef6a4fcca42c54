"""Face, Faces, their order and what counts as a face."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from harness.faces import face_at
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.faces import DetectionOptions, Face, Faces, in_order
from headsup_core.faces.analyzer import doubtful, select, unit
from headsup_core.faces.face import Box


@pytest.mark.parametrize(
    ("width", "height", "least"),
    [(32, 24, 2.5), (128, 96, 2.5), (192, 144, 3.75), (256, 256, 5), (512, 512, 5), (600, 600, 5), (1024, 1024, 8.53),
     (4000, 3000, 28.87)],
)  # fmt: skip
def test_least_eye_distance_follows_the_picture(width: int, height: int, least: float) -> None:
    assert DetectionOptions().least_eyes(height, width) == pytest.approx(least, abs=0.01)
    assert DetectionOptions(min_eye_distance=7).least_eyes(height, width) == 7


@pytest.mark.parametrize(
    ("eyes", "score", "longer_side", "out"),
    [
        (8, 0.9, 768, True),
        (8, 0.98, 768, False),
        (12, 0.6, 768, False),
        (8, 0.6, 256, False),
        (3, 0.6, 48, False),
        (4, 0.6, 256, True),
    ],
)
def test_small_faces_in_large_pictures_must_be_sure(eyes: float, score: float, longer_side: int, out: bool) -> None:
    landmarks = torch.tensor([[0.0, 0.0], [eyes, 0.0], [eyes / 2, 1.0], [0.0, 2.0], [eyes, 2.0]])
    assert doubtful(Face((0.0, 0.0, 9.0, 9.0), landmarks, score), longer_side) == out


def test_scaling_keeps_the_picture_s_borders_in_place() -> None:
    face = Face((-0.5, -0.5, 9.5, 19.5), torch.tensor([[-0.5, -0.5], [9.5, 19.5], [0, 0], [1, 1], [2, 2.0]]), 1.0)
    scaled = Faces(((face,),), 20, 10).scaled_to(40, 30)[0][0]
    assert scaled.box == (-0.5, -0.5, 29.5, 39.5)
    assert scaled.landmarks[:2].tolist() == [[-0.5, -0.5], [29.5, 39.5]]
    assert scaled.landmarks[2].tolist() == [1.0, 0.5]
    assert face.box == (-0.5, -0.5, 9.5, 19.5)


def test_order_is_largest_first_equals_from_left_to_right() -> None:
    faces = [face_at(50, 10, 30), face_at(10, 50, 20), face_at(200, 0, 20.4), face_at(5, 5, 10), face_at(90, 0, 29)]
    wanted = [faces[0], faces[4], faces[1], faces[2], faces[3]]
    for seed in range(20):
        shuffled = list(faces)
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - no cryptography
        assert list(in_order(shuffled)) == wanted


def test_thresholds_and_number() -> None:
    faces = [face_at(20, 20, 30, 0.4), face_at(100, 20, 20, 0.9), face_at(200, 20, 7, 0.99), face_at(300, 20, 15, 0.8)]
    assert [round(face.eye_distance, 3) for face in select(faces, DetectionOptions(min_eye_distance=12))] == [20, 15]
    assert [round(face.eye_distance, 3) for face in select(faces, DetectionOptions(0.3, 5))] == [30, 20, 15, 7]
    assert [round(face.eye_distance, 3) for face in select(faces, DetectionOptions(0.3, 5, 2))] == [30, 20]


def test_a_face_found_twice_counts_once_and_neighbours_both() -> None:
    twice = [face_at(50, 50, 20, 0.8), face_at(53, 51, 22, 0.95), face_at(95, 50, 20, 0.7)]
    kept = select(twice, DetectionOptions())
    assert sorted(face.score for face in kept) == [0.7, 0.95]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_score": 1.5}, ("minimum score", 1.5, 0, 1)),
        ({"min_eye_distance": 0.5}, ("minimum eye distance", 0.5, 1)),
        ({"min_eye_distance": float("nan")}, ("minimum eye distance", float("nan"))),
        ({"max_faces": -1}, ("faces", -1)),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], named: tuple[object, ...]) -> None:
    with raises_naming(InputError, *named):
        DetectionOptions(**options)  # type: ignore[arg-type]


def test_faces_of_another_batch_are_refused() -> None:
    with raises_naming(InputError, 2, 3):
        Faces(((), ()), 10, 10).check_batch(3)


def test_an_embedding_that_is_none_is_refused() -> None:
    assert unit(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    with raises_naming(InputError, "length", 0):
        unit(torch.zeros(4))
    with raises_naming(InputError, "length", float("nan")):
        unit(torch.tensor([float("nan"), 1.0]))


@pytest.mark.parametrize("box", [(0, 0, float("nan"), 5), (5, 0, 0, 5), (0, 5, 5, 5), (0, 0, float("inf"), 5)])
def test_boxes_that_are_none_are_dropped_and_do_not_hang(box: Box) -> None:
    good, bad = face_at(100, 100, 30), replace(face_at(20, 20, 30), box=box)
    assert select([bad, good], DetectionOptions()) == (good,)
    assert len(in_order([bad, good, bad])) == 3
