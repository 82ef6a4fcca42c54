"""Whole-picture models with faces: plans around them, own tiles, and what is left as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.records import with_record
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.benchmark.measuring.group_photo import group_photo
from headsup_core.errors import ModelFileError
from headsup_core.faces import Face, Faces
from headsup_core.imaging.resizing import resize
from headsup_core.models.building import build_model
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.record import ModelRecord, eye_range
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.resolving import resolve_tiling
from headsup_core.restoring.tiling.own_tiles import around_faces, face_box, own_tiles
from headsup_core.restoring.tiling.tile_memory import Room
from headsup_core.restoring.tiling.tiled_run import Tiling

HOST = hu.PlainHost("cpu", quiet=True)


def _picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _faces(height: int, width: int, *faces: Face) -> Faces:
    return Faces((faces,), height, width)


def _tiling(model: OneStepModel, **options: Any) -> Tiling:
    return resolve_tiling(model, hu.RestoreOptions(**options), Room.of(HOST))


def _trained(model: HeadsUpModel, low: float, high: float) -> HeadsUpModel:
    return HeadsUpModel(with_record(model.one_step, trained_eyes=(low, high)))


class Counting(hu.PlainHost):
    """Keeps the sizes of what the UNet sees."""

    def __init__(self, model: HeadsUpModel) -> None:
        super().__init__("cpu", quiet=True)
        self.seen: list[tuple[int, int, int]] = []
        run = model.one_step.unet.forward

        def forward(sample: torch.Tensor, *args: object, **others: object) -> tuple[torch.Tensor]:
            self.seen.append((len(sample), sample.shape[-2], sample.shape[-1]))
            return run(sample, *args, **others)

        model.one_step.unet.forward = forward


def test_face_box_is_the_ellipse_of_an_upright_face() -> None:
    """Half axes of 1.12 and 1.5 eye distances around 0.42 below the eyes' middle; upside down it is above."""
    eyes = torch.tensor([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [42.0, 70.0], [58.0, 70.0]])
    face = Face((0.0, 0.0, 1.0, 1.0), eyes, 1.0)
    assert face_box(face) == pytest.approx((50.5 - 22.4, 58.9 - 30, 50.5 + 22.4, 58.9 + 30))
    turned = replace(face, landmarks=eyes.flip(0)[[4, 3, 2, 1, 0]] * torch.tensor([-1.0, -1.0]) + 100)
    assert face_box(turned) == pytest.approx((50.5 - 22.4, 42.1 - 30, 50.5 + 22.4, 42.1 + 30))
    quarter = replace(face, landmarks=eyes.flip(1))
    assert face_box(quarter)[2] - face_box(quarter)[0] == pytest.approx(60)


def test_a_face_comes_from_one_tile_alone(make_model: Any) -> None:
    """A network that paints each call in its own number: inside the face's box there is one number only."""
    model, calls = make_model(), 0
    unet = model.one_step.unet

    def paint(sample: torch.Tensor, *args: object, **others: object) -> tuple[torch.Tensor]:
        nonlocal calls
        calls += len(sample)
        return (sample - 0.01 * calls,)  # x0 = z - f(z)

    unet.forward = paint
    face = face_at(66.0, 60.0, 12.0)
    options: dict[str, Any] = {"tile": 64, "overlap": 16, "tile_batch": 1, "host": HOST}
    with_faces = hu.restore(_picture(128, 144), model, scale=1, faces=_faces(128, 144, face), **options)
    x0, y0, x1, y1 = (int(edge) for edge in face_box(face))
    inside = with_faces.image[..., y0 + 1 : y1, x0 + 1 : x1]
    assert inside.amax() - inside.amin() < 1e-6
    assert "1 face" in with_faces.report.text()
    calls = 0
    without = hu.restore(_picture(128, 144), model, scale=1, **options).image[..., y0 + 1 : y1, x0 + 1 : x1]
    assert without.amax() - without.amin() > 0.005, "the comparison can tell"


def test_faces_change_nothing_for_a_bounded_network(make_model: Any) -> None:
    model, image = make_model(layers=2), _picture(160, 200)
    faces = _faces(160, 200, face_at(80.0, 70.0, 14.0), face_at(140.0, 120.0, 10.0), face_at(120.0, 30.0, 90.0))
    whole = hu.restore(image, model, scale=1, host=HOST)
    around = hu.restore(image, model, scale=1, tile=96, overlap=40, faces=faces, host=HOST)
    assert around.report.tiles > 3
    assert "1 larger than a tile of 96 px" in around.report.text()
    assert torch.allclose(around.image, whole.image, atol=1e-5)


def test_no_faces_found_is_as_no_faces_given(make_model: Any) -> None:
    model, image = make_model(layers=1), _picture(100, 120)
    plain = hu.restore(image, model, scale=1, tile=64, overlap=16, host=HOST)
    empty = hu.restore(image, model, scale=1, tile=64, overlap=16, faces=_faces(100, 120), host=HOST)
    assert torch.equal(plain.image, empty.image)
    assert plain.report.tiles == empty.report.tiles


def test_which_faces_get_own_tiles(make_model: Any) -> None:
    model = _trained(make_model(), 16, 60).one_step
    tiling = _tiling(model, tile=256, overlap=32)
    faces = [face_at(400.0, 400.0, eyes) for eyes in (8.0, 16.0, 60.0, 100.0)]
    own = own_tiles(faces, model, tiling, 1024, 1024)
    assert [(one.face.eye_distance, one.goal, one.side) for one in own] == [
        (pytest.approx(8, abs=1e-3), 16, 64),
        (pytest.approx(100, abs=1e-3), 60, 240),
    ]
    assert own[0].square[2] == 32
    assert own[1].square[2] == 400
    small = _tiling(model, tile=128, overlap=32)
    # 60 px between the eyes: the box of 180 px does not fit, 32 px (4 times 32 = 128) do
    assert [(one.goal, one.side) for one in own_tiles(faces[2:3], model, small, 1024, 1024)] == [(32, 128)]
    assert own_tiles(faces, with_record(model, trained_eyes=None), tiling, 1024, 1024) == ()
    assert own_tiles([face_at(-300.0, 0.0, 8.0)], model, tiling, 1024, 1024) == ()


def test_own_tile_is_the_face_restored_at_the_trained_size(make_model: Any) -> None:
    """What restoring the reduced square gives, enlarged; far from the face nothing changes."""
    model = make_model(layers=2)
    image, face = _picture(480, 480), face_at(240.0, 240.0, 100.0)
    plain = hu.restore(image, model, scale=1, host=HOST).image
    trained = _trained(model, 16, 50)
    result = hu.restore(image, trained, scale=1, faces=_faces(480, 480, face), host=HOST)
    assert "1 restored in own tiles (eyes apart: 100 as 50 px)" in result.report.text()
    (own,) = own_tiles([face], trained.one_step, _tiling(model.one_step), 480, 480)
    x, y, side = own.square
    assert (side, own.side) == (400, 200)
    reduced = resize(image[..., y : y + side, x : x + side], own.side, own.side)
    expected = resize(hu.restore(reduced, model, scale=1, host=HOST).image, side, side)
    x0, y0, x1, y1 = (int(edge) for edge in face_box(face))
    rows, columns = slice(y0 + 90, y1 - 90), slice(x0 + 80, x1 - 80)
    middle = (..., rows, columns)
    there = (..., slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x))
    assert torch.allclose(result.image[middle], expected[there], atol=1e-4)
    assert not torch.allclose(result.image[middle], plain[middle], atol=0.05)
    assert torch.equal(result.image[..., :40, :], plain[..., :40, :])


def test_small_faces_share_batches_and_cost_what_they_are(make_model: Any) -> None:
    model = _trained(make_model(), 16, 60)
    host = Counting(model)
    faces = [face_at(20.0 + 40 * (index % 10), 20.0 + 40 * (index // 10), 8.0) for index in range(40)]
    image = _picture(256, 400)
    result = hu.restore(image, model, scale=1, tile=256, tile_batch=1, faces=_faces(256, 400, *faces), host=host)
    own = [size for size in host.seen if size[1:] == (16, 16)]
    assert sum(number for number, _, _ in own) == 40
    assert max(number for number, _, _ in own) == 16, "as many as one tile of 256 px has pixels for"
    assert len(own) == 3
    assert (result.image - image).abs().max() > 0
    reached = torch.zeros(256, 400, dtype=torch.bool)
    for face in faces:
        x0, y0, x1, y1 = (int(edge) for edge in face_box(face))
        reached[max(0, y0 - 3) : y1 + 4, max(0, x0 - 3) : x1 + 4] = True
    assert torch.allclose(result.image[0, :, ~reached], image[0, :, ~reached], atol=1e-6)


def test_a_face_at_the_border_is_laid_back_where_it_was(make_model: Any) -> None:
    """The identity network through an own tile: a smooth picture comes back as it was, out to the corner."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 200), torch.linspace(0, 1, 240), indexing="ij")
    image = torch.stack([x, y, (x + y) / 2])[None]
    model = _trained(make_model(), 16, 30)
    result = hu.restore(image, model, scale=1, faces=_faces(200, 240, face_at(10.0, 8.0, 60.0)), host=HOST)
    assert "1 restored in own tiles" in result.report.text()
    assert (result.image - image).abs().max() < 0.02


def test_margin_moves_the_faces_with_the_picture(make_model: Any) -> None:
    model = make_model(layers=1)
    with_margin = HeadsUpModel(with_record(model.one_step, margin=16, trained_eyes=(16.0, 30.0)))
    image, face = _picture(260, 240), face_at(120.0, 130.0, 60.0)
    here = hu.restore(image, with_margin, scale=1, faces=_faces(260, 240, face), host=HOST).image
    without = hu.restore(image, with_margin, scale=1, host=HOST).image
    changed = ((here - without).abs().amax(1)[0] > 1e-4).nonzero()
    x0, y0, x1, y1 = face_box(face)
    assert changed[:, 1].float().mean() == pytest.approx((x0 + x1) / 2, abs=2)
    assert changed[:, 0].float().mean() == pytest.approx((y0 + y1) / 2, abs=2)


@pytest.mark.parametrize("value", [[0, 150], [150, 16], [16], "16", [16, "x"], [16, float("nan")]])
def test_eye_range_of_a_header_is_checked(toy_record: ModelRecord, value: Any) -> None:
    with raises_naming(ModelFileError, "trained_eyes"):
        ModelRecord.from_json({**toy_record.to_json(), "trained_eyes": value})


def test_eye_range_travels(toy_record: ModelRecord) -> None:
    made = ModelRecord.from_json({**toy_record.to_json(), "trained_eyes": [16, 150]})
    assert made.trained_eyes == (16.0, 150.0)
    assert build_model(made).trained_eyes == (16.0, 150.0)
    assert ModelRecord.from_json(toy_record.to_json()).trained_eyes is None
    assert eye_range(None) is None


def test_the_plan_is_in_latents(make_model: Any) -> None:
    tiling = _tiling(make_model(factor=4).one_step, tile=64, overlap=16)
    face = face_at(100.0, 100.0, 20.0)
    assert around_faces(tiling, [face]).keep[0] == pytest.approx(tuple(edge / 4 for edge in face_box(face)))


def test_group_photo_of_portraits_has_its_faces_where_they_are() -> None:
    """Each portrait has white eyes on black: the group's faces must say where they are."""
    portrait = torch.zeros(1, 3, 100, 80)
    face = face_at(40.5, 50.5, 30.0)
    for x, y in face.landmarks[:2].round().int().tolist():
        portrait[..., y - 2 : y + 3, x - 2 : x + 3] = 1
    picture, faces = group_photo([(portrait, face)], 7, 400, seed=4)
    assert picture.shape[-1] == 400
    assert 320 <= picture.shape[-2] <= 400
    assert faces.count == 7
    assert len({round(one.eye_distance, 2) for one in faces[0]}) == 7, "sizes differ"
    for one in faces[0]:
        for x, y in one.landmarks[:2].round().int().tolist():
            assert picture[0, 0, y, x] > 0.9
    again, few = group_photo([(portrait, face)], 3, 400, seed=4, places=7)
    assert few.count == 3
    assert again.shape == picture.shape
