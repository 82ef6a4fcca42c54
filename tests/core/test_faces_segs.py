from __future__ import annotations

import pytest
import torch
from harness.refusals import raises_naming

from headsup_core import InputError
from headsup_core.faces import Face, Faces
from headsup_core.faces.segs import SEG, faces_to_segs

POINTS = torch.tensor([[90.0, 80.0], [130.0, 80.0], [110.0, 100.0], [95.0, 120.0], [125.0, 120.0]])


def faces(*boxes: tuple[float, float, float, float], pictures: int = 1) -> Faces:
    here = tuple(Face(box, POINTS, 0.75) for box in boxes)
    return Faces((here,) + ((),) * (pictures - 1), 200, 300)


def test_crop_region_is_the_widened_box() -> None:
    size, (seg,) = faces_to_segs(faces((99.5, 59.5, 119.5, 99.5)), torch.rand(1, 3, 200, 300), crop_factor=2.0)

    assert size == (200, 300)
    assert seg.bbox == [100, 60, 120, 100]
    assert seg.crop_region == [90, 40, 130, 120]
    assert seg.cropped_mask.shape == (80, 40)
    assert seg.confidence == 0.75
    assert SEG._fields == (
        "cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("box", "region"),
    [
        ((-20.0, -30.0, 39.5, 49.5), [0, 0, 120, 150]),  # moved inside at the upper left
        ((260.0, 150.0, 320.0, 260.0), [180, 50, 300, 200]),  # and at the lower right
        ((0.0, 0.0, 299.0, 199.0), [0, 0, 300, 200]),  # cut where the picture is smaller
    ],
)
def test_crop_region_stays_in_the_picture(box: tuple[float, float, float, float], region: list[int]) -> None:
    _, (seg,) = faces_to_segs(faces(box), torch.rand(1, 3, 200, 300))

    assert seg.crop_region == region


def test_face_outside_the_picture_is_left_out() -> None:
    _, segs = faces_to_segs(faces((400.0, 10.0, 450.0, 60.0), (10.0, 10.0, 60.0, 60.0)), torch.rand(1, 3, 200, 300))

    assert [seg.bbox for seg in segs] == [[10, 10, 61, 61]]


def test_faces_are_scaled_to_the_picture() -> None:
    size, (seg,) = faces_to_segs(faces((99.5, 59.5, 119.5, 99.5)), torch.rand(1, 3, 400, 600), crop_factor=1.0)

    assert size == (400, 600)
    assert seg.bbox == seg.crop_region == [200, 120, 240, 200]


def test_wrong_use_is_refused_with_numbers() -> None:
    image = torch.rand(1, 3, 200, 300)
    with raises_naming(InputError, "crop factor", 0.5):
        faces_to_segs(faces(), image, crop_factor=0.5)
    with raises_naming(InputError, 2, 1):
        faces_to_segs(faces(pictures=2), image)
    with raises_naming(InputError, 1):
        faces_to_segs(faces((10.0, 10.0, 60.0, 60.0)), image, only=[1])
