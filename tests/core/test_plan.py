"""Plans: the same choices as restore(), and estimates that hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.allocations import peak_allocated
from harness.records import with_record

import headsup_core as hu
from headsup_core.cli import main
from headsup_core.image_files import read_picture, write_picture
from headsup_core.imaging.published import (
    BicubicSizing,
    BilinearSizing,
    FaceSizing,
    PadSizing,
    PillowSizing,
    Prepared,
    PublishedSizing,
)
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.plan.calibration import (
    Calibration,
    PartsCost,
    StageCost,
    calibration_file,
    read_calibration,
    write_calibration,
)
from headsup_core.restoring.plan.plan_drawing import draw_plan
from headsup_core.restoring.plan.upscale_plan import UpscalePlan, picture_tiles, plan_upscale
from headsup_core.restoring.resolving import resolve
from headsup_core.restoring.session import Session
from headsup_core.restoring.tiling.tile_memory import PictureSizes, Room, auto_tile, auto_tile_batch, picture_memory

HOST = hu.PlainHost("cpu", quiet=True)


class SmallHost(hu.PlainHost):
    """A host with little memory left."""

    def __init__(self, free: int) -> None:
        super().__init__("cpu", quiet=True)
        self.free = free

    def free_memory(self) -> int:
        return self.free


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSUP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _planned(
    shape: tuple[int, int, int],
    model: HeadsUpModel,
    faces: hu.Faces | None = None,
    calibration: Calibration | None = None,
    host: hu.Host = HOST,
    **options: Any,
) -> UpscalePlan:
    return plan_upscale(shape, Session(model, hu.RestoreOptions(**options), host), faces, calibration)


def _cost(slope: float, seconds: float = 1e-6) -> StageCost:
    sizes = (64 * 64, 128 * 128)
    return StageCost(sizes, tuple(slope * size for size in sizes), tuple(seconds * size for size in sizes))


@pytest.mark.parametrize("size", [(33, 57), (64, 64), (131, 40)])
@pytest.mark.parametrize("options", [{}, {"tile": 64}, {"tile": 96, "overlap": 24}, {"long_edge": 200, "tile": 64}])
def test_a_plan_is_what_restore_does(make_model: Any, size: tuple[int, int], options: dict[str, Any]) -> None:
    model = make_model(layers=1)
    model = replace(model, one_step=with_record(model.one_step, margin=4))
    plan = _planned((1, *size), model, scale=None if "long_edge" in options else 2, **options)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    done = hu.restore(image, model, scale=None if "long_edge" in options else 2, host=HOST, **options).report
    assert plan.output_size == done.output_size
    assert (plan.tile, plan.overlap, plan.tile_batch) == (done.tile, done.overlap, done.tile_batch)
    assert len(plan.tiles.tiles) == done.tiles == plan.unet_calls
    assert plan.work_ratio == done.work_ratio
    assert (plan.tiles.height, plan.tiles.width) == plan.padded_size
    covered = torch.zeros(plan.output_size)
    for tile in picture_tiles(plan):
        tile.crop(covered).fill_(1)
    assert covered.min() == 1


def test_calls_and_seconds_by_hand(make_model: Any) -> None:
    model = make_model()
    parts = {"encoder": _cost(100, 1e-6), "unet": _cost(200, 3e-6), "decoder": _cost(300, 2e-6)}
    known = Calibration(**parts)
    plan = _planned((3, 32, 32), model, scale=4, tile=64, overlap=0, tile_batch=3, calibration=known)
    assert len(plan.tiles.tiles) == 4
    assert plan.unet_calls == 3 * 2  # four tiles in batches of three, three pictures
    assert plan.seconds == pytest.approx(3 * 4 * 64 * 64 * 6e-6)
    assert plan.activations_bytes == 300 * 3 * 64 * 64
    assert plan.peak_bytes == plan.main_bytes == plan.activations_bytes + plan.pictures_bytes
    assert "calibrate" not in plan.text()
    assert json.loads(json.dumps(plan.to_json()))["tiles"][1] == [64, 0, 128, 64]


def test_nothing_is_guessed_of_time(make_model: Any, cache: Path) -> None:
    plan = _planned((1, 32, 32), make_model(), scale=4)
    assert plan.seconds is None
    assert not plan.measured
    assert "time on cpu: unknown without calibration" in plan.text()
    assert "a cautious guess" in plan.text()
    assert not cache.exists()


def test_errors_are_those_of_restore(make_model: Any) -> None:
    for options in ({"tile": 4}, {"tile": 64, "overlap": 64}, {"color_fix": "sepia"}, {"sizing": "published"}):
        with pytest.raises(hu.InputError) as planned:
            _planned((1, 16, 16), make_model(), scale=4, **options)
        with pytest.raises(hu.InputError) as restored:
            hu.restore(torch.zeros(1, 3, 16, 16), make_model(), scale=4, host=HOST, **options)
        assert str(planned.value) == str(restored.value)


@pytest.mark.parametrize(
    "way",
    [
        PadSizing(64, 64, 16),
        PillowSizing(),
        PillowSizing(128, resize_back=True),
        BilinearSizing(),
        BicubicSizing(),
        FaceSizing(64, keep=False),
    ],
)
@pytest.mark.parametrize("size", [(24, 40), (30, 30)])
def test_sizes_without_pixels_are_those_with(way: PublishedSizing, size: tuple[int, int]) -> None:
    def sizes(prepared: Prepared) -> list[Any]:
        output = prepared.finish(prepared.settle(prepared.network))
        return [prepared.multiple, *(tuple(one.shape) for one in (prepared.network, prepared.reference, output))]

    image, asked = torch.rand(1, 3, *size), (4 * size[0], 4 * size[1])
    assert sizes(way.prepare(image.to("meta"), *asked)) == sizes(way.prepare(image, *asked))


def test_calibration_is_kept_and_damage_is_ignored(toy_model: OneStepModel, cache: Path) -> None:
    found = Calibration(_cost(10), _cost(20), _cost(30), PartsCost((65536,), (3.0,), 1e-6, 2e-6))
    assert read_calibration(toy_model, HOST.device) is None
    write_calibration(found, toy_model, HOST.device)
    assert read_calibration(toy_model, HOST.device) == found
    path = calibration_file(toy_model, HOST.device)
    assert [file.name for file in cache.iterdir()] == [path.name]
    whole = path.read_text()
    for damage in ("", whole[: len(whole) // 2], "[]", "{}", whole.replace("4096", "-1"), whole.replace("4096", "0")):
        path.write_text(damage)
        assert read_calibration(toy_model, HOST.device) is None
    path.write_text(whole)
    half = replace(toy_model, passes=toy_model.passes * 2)
    assert calibration_file(half, HOST.device) != path, "another model has its own"


def test_an_unwritable_cache_does_not_stop_a_plan(
    make_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSUP_CACHE", str(tmp_path / "file" / "below"))
    write_calibration(Calibration(_cost(1), _cost(1), _cost(1)), make_model().one_step, HOST.device)


def test_between_sizes_a_line_beyond_in_proportion() -> None:
    cost = StageCost((100, 200), (1000.0, 1500.0), (1.0, 3.0))
    assert [cost.bytes_at(pixels) for pixels in (10, 100, 150, 200, 400)] == [1000, 1000, 1250, 1500, 3000]
    assert cost.seconds_at(300) == pytest.approx(4.5)


def test_auto_tile_is_the_largest_that_fits(make_model: Any, cache: Path) -> None:
    model = make_model().one_step
    known = Calibration(_cost(100), _cost(50), _cost(400))
    for free in (4_000_000, 20_000_000, 90_000_000):
        side = auto_tile(model, Room(free, HOST.device, known))
        assert known.tile_bytes(side * side) <= 0.7 * free
        assert known.tile_bytes((side + 8) ** 2) > 0.7 * free
    assert auto_tile(model, Room(10**12, HOST.device, known)) == 1024
    assert auto_tile(model, Room(0, HOST.device, known)) == 32
    assert auto_tile_batch(model, 64, Room(10_000_000, torch.device("cuda"), known)) == 4  # 0.7 * 10^7 / (400 * 64^2)


def test_auto_tile_plans_keep_below_little_free_memory(make_model: Any) -> None:
    """Tiles shrink with the memory, pictures included, as long as there is a tile that fits."""
    model = make_model()
    known = Calibration(_cost(40), _cost(400), _cost(200))
    tiles: list[int] = []
    for free in (60_000_000, 30_000_000, 15_000_000):
        plan = _planned((1, 64, 64), model, scale=4, calibration=known, host=SmallHost(free))
        assert plan.activations_bytes or plan.pictures_bytes
        assert plan.peak_bytes <= free
        tiles.append(plan.tile)
    assert tiles[0] > tiles[1] > tiles[2] > 32


@pytest.mark.parametrize(("pictures", "color_fix"), [(1, "none"), (1, "wavelet"), (1, "lab"), (3, "adain"), (3, "lab")])
def test_picture_memory_is_what_torch_allocates(make_model: Any, pictures: int, color_fix: str) -> None:
    """The identity restorer: what is left are pictures, latents and sums of tiles."""
    model = make_model(factor=4)
    image = torch.rand(pictures, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    asked = hu.RestoreOptions(scale=4, tile=64, color_fix=color_fix)
    options = resolve((pictures, 64, 64), model.one_step, asked, HOST)
    area = options.padded_size[0] * options.padded_size[1]
    estimate = picture_memory(model.one_step, PictureSizes(area, 256 * 256, pictures), color_fix, in_parts=False)
    peak = peak_allocated(
        lambda: hu.restore(image, model, scale=4, tile=64, overlap=0, color_fix=color_fix, host=HOST)
    )
    assert estimate.peak == pytest.approx(peak, rel=0.12)


def _face(x: float, y: float, eyes: float) -> hu.Face:
    points = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.6], [-0.4, 1.1], [0.4, 1.1]]) * eyes
    return hu.Face((x - eyes, y - eyes, x + eyes, y + 2 * eyes), points + torch.tensor([x, y]), 1.0)


def _person(name: str) -> hu.Identity:
    return hu.Identity(name, {"test": torch.eye(8)[len(name)]}, torch.zeros(0, 3, 512, 512))


def test_own_tiles_and_people_by_hand(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One face is too small for the model; two lie whole in one tile each, and may be people's."""
    model = make_model(factor=8)
    model = replace(model, one_step=with_record(model.one_step, trained_eyes=(12.0, 40.0)))
    known = Calibration(_cost(1, 1e-6), _cost(1, 3e-6), _cost(1, 2e-6))
    size = {"scale": 1, "tile": 128, "overlap": 0, "calibration": known}
    faces = hu.Faces(((_face(64, 64, 13), _face(192, 64, 13), _face(40, 200, 6)),), 256, 256)
    bare = _planned((1, 256, 256), model, **size)
    assert (bare.unet_calls, bare.further_calls, bare.own_tiles) == (4, 0, ())
    plan = _planned((1, 256, 256), model, faces=faces, **size)
    ((own,),) = plan.own_tiles
    assert own[0] < 40 < own[2]
    assert own[1] < 200 < own[3]
    (tiles,) = plan.picture_plans
    assert plan.unet_calls == len(tiles.tiles) + 1
    assert plan.further_calls == 0
    assert _planned((1, 256, 256), model.with_identities([_person("x")]), faces=faces, **size).further_calls == 0
    monkeypatch.setattr(OneStepModel, "takes_reference", property(lambda _: True))
    for people, calls in ((1, 1), (2, 2), (5, 3)):
        told = model.with_identities([_person("x" * number) for number in range(1, people + 1)])
        plan = _planned((1, 256, 256), told, faces=faces, **size)
        assert plan.further_calls == calls
        assert plan.further_seconds > 0
        assert f"at most {calls} more for the tiles of known faces" in plan.text()
    plan = _planned((1, 256, 256), told, **size)
    assert plan.further_calls is None
    assert "when the faces are given" in plan.text()


def test_drawing_shows_tiles_overlaps_and_faces(make_model: Any) -> None:
    face = hu.Face(box=(10.0, 10.0, 20.0, 22.0), landmarks=torch.rand(5, 2) * 8 + 12, score=1.0)
    faces = hu.Faces(pictures=((face,),), height=40, width=64, analyzer="test")
    grey = torch.full((1, 3, 40, 64), 0.5)
    plan = _planned((1, 40, 64), make_model(), scale=4, tile=128, overlap=64, faces=faces)
    drawn = draw_plan(grey, plan)
    assert drawn.shape == (1, 3, 640, 1024)
    white = (drawn > 0.99).all(1)[0]
    assert white[170:355, 167:171].any(1).float().mean() > 0.9, "the face's left side: 10.5 px, 16 times as large"
    single = draw_plan(grey, _planned((1, 40, 64), make_model(), scale=4, tile=512))
    inner = (slice(None), slice(None), slice(40, 200), slice(40, 400))
    assert torch.allclose(single[inner], torch.tensor(128 / 255), atol=1e-3), "one tile: nothing overlaps"
    overlap = drawn[0, :, 320, 400]  # rows and columns shared by tiles
    assert (overlap - 0.5).abs().max() > 0.05


def test_command(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture(tmp_path / "a.png", torch.full((1, 3, 30, 50), 0.5))
    (tmp_path / "broken.png").write_bytes(b"x")
    options = ["--scale", "4", "--tile", "96", "--no-calibration", "--quiet"]
    assert main(["plan", str(tmp_path / "a.png"), *options, "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "50x30 -> 200x120 px" in lines[1]
    assert read_picture(tmp_path / "out" / "a_plan.png").rgb.shape[-1] == 1024
    shutil.copy(tmp_path / "a.png", tmp_path / "a.webp")
    both = [str(tmp_path / name) for name in ("a.png", "a.webp")]
    assert main(["plan", *both, *options, "--output", str(tmp_path / "two")]) == 0
    assert sorted(file.name for file in (tmp_path / "two").iterdir()) == ["a.webp_plan.png", "a_plan.png"]
    (tmp_path / "a.webp").unlink()
    capsys.readouterr()
    assert main(["plan", str(tmp_path), "--json", *options]) == 2
    out, err = capsys.readouterr()
    (record,) = map(json.loads, out.splitlines())
    assert record["output_size"] == [120, 200]
    assert record["unet_calls"] == len(record["tiles"])
    assert record["seconds"] is None
    assert "broken.png" in err


def test_handles_of_one_model_share_a_calibration(toy_model: OneStepModel) -> None:
    one, other = HeadsUpModel(toy_model), HeadsUpModel(toy_model, device="cpu")
    assert calibration_file(one.one_step, HOST.device) == calibration_file(other.one_step, HOST.device)
