"""Nothing but the arguments decides pixels: no cache, no order of calls; random numbers only where they are asked for.

And the kinds of models beside the toy in fp32: half precision, and an adapter with a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import RED, ColourAnalyzer, paint, person
from harness.refusals import raises_naming
from harness.systems import headsup_adapters, osediff_file

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.building import build_model
from headsup_core.models.file_formats.headsup_adapter import save_headsup_adapter
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.record import ModelRecord
from headsup_core.option_fields import declared_options
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.options import RestoreOptions
from headsup_core.restoring.plan.calibration import Calibration, StageCost, write_calibration
from headsup_core.restoring.plan.measure import calibration
from headsup_core.restoring.plan.upscale_plan import plan_upscale
from headsup_core.restoring.session import Session
from headsup_core.restoring.tiling import tiled_run

HOST = hu.PlainHost("cpu", quiet=True)


class Narrow(hu.PlainHost):
    """Little memory is free, always as much."""

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)

    def free_memory(self) -> int:
        return 3_000_000


def photo(height: int = 40, width: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def cheap() -> Calibration:
    cost = StageCost((64,), (64.0,), (0.001,))
    return Calibration(cost, cost, cost)


def test_a_calibration_in_the_cache_changes_nothing(
    toy_model: OneStepModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSUP_CACHE", str(tmp_path))
    model, image, host = HeadsUpModel(toy_model), photo(), Narrow()
    without = hu.restore(image, model, scale=4, host=host)
    write_calibration(cheap(), toy_model, host.device)
    measured = calibration(toy_model, host, measure=False)
    assert measured == cheap(), "it is there to be read"
    again = hu.restore(image, model, scale=4, host=host)
    assert torch.equal(again.image, without.image)
    assert again.report.options == without.report.options
    # the plan's choice is passed in, and says that it has to be
    plan = plan_upscale((1, 40, 48), Session(model, hu.RestoreOptions(scale=4), host), calibration=measured)
    assert plan.tile > again.report.tile
    assert any(f"by itself takes tile {again.report.tile}" in note for note in plan.notes)
    tiles: dict[str, Any] = {"tile": plan.tile, "overlap": plan.overlap, "tile_batch": plan.tile_batch}
    with_plan = hu.restore(image, model, scale=4, host=host, **tiles)
    assert with_plan.report.tile == plan.tile
    for file in tmp_path.iterdir():
        file.unlink()
    assert torch.equal(hu.restore(image, model, scale=4, host=host, **tiles).image, with_plan.image)


def test_the_reports_options_give_the_same_bits(toy_model: OneStepModel) -> None:
    model, image = HeadsUpModel(toy_model), photo()
    first = hu.restore(image, model, scale=2, tile=48, strength=0.7, host=HOST)
    assert (first.report.options.tile, first.report.options.overlap) == (48, 16)
    again = hu.restore(image, model, first.report.options, host=HOST)
    assert torch.equal(again.image, first.image)
    assert again.report.options == first.report.options


def test_tiles_are_planned_once_a_picture(toy_model: OneStepModel, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Any] = []
    plan: Callable[..., Any] = tiled_run.plan_face_tiles

    def counted(*arguments: Any) -> Any:
        planned.append(arguments)
        return plan(*arguments)

    monkeypatch.setattr(tiled_run, "plan_face_tiles", counted)
    face = face_at(25, 20, 6)
    faces = hu.Faces(((face,),), 41, 49)
    hu.restore(photo(41, 49), HeadsUpModel(toy_model), scale=4, tile=64, faces=faces, host=HOST)
    assert len(planned) == 1
    hu.restore(photo(41, 49).expand(3, -1, -1, -1), HeadsUpModel(toy_model), scale=4, tile=72, host=HOST)
    assert len(planned) == 2, "pictures of one size without faces share a plan"


def test_the_seed_counts_where_the_latent_is_drawn(base: Base, tmp_path: Path) -> None:
    model, image = hu.load_model(adapter=osediff_file(base, tmp_path), base=base), photo(16, 16)

    def pixels(**options: Any) -> torch.Tensor:
        return hu.restore(image, model, scale=1, host=HOST, **options).image

    drawn = pixels(sample_posterior=True, seed=1)
    assert torch.equal(pixels(sample_posterior=True, seed=1), drawn)
    assert not torch.equal(pixels(sample_posterior=True, seed=2), drawn)
    assert not torch.equal(pixels(seed=1), drawn)
    assert torch.equal(pixels(seed=1), pixels(seed=2))


def test_a_record_leaves_out_what_changes_nothing() -> None:
    assert RestoreOptions(seed=1).settings() == RestoreOptions(seed=2, tile_batch=4).settings()
    one, other = (RestoreOptions(seed=seed, sample_posterior=True).settings() for seed in (1, 2))
    assert one != other
    told = set(declared_options(RestoreOptions)) - {"tile_batch"}
    assert set(one) == told


def test_each_picture_of_a_batch_has_its_own_start(base: Base, tmp_path: Path) -> None:
    model = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    options, batch = RestoreOptions(scale=1, sample_posterior=True, seed=2**64 - 1), photo(16, 16).expand(2, -1, -1, -1)
    together = hu.restore(batch, model, options, host=HOST).image
    assert not torch.equal(together[0], together[1])
    for index in range(2):
        alone = hu.restore(batch[:1], model, options.for_picture(index), host=HOST).image
        assert torch.equal(together[index], alone[0])


@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_half_precision_is_near_and_comes_back_in_full(
    toy_record: ModelRecord, toy_model: OneStepModel, dtype: torch.dtype, near: float
) -> None:
    half = build_model(toy_record)
    for network, source in zip(half.networks, toy_model.networks, strict=True):
        network.load_state_dict(source.state_dict())
        network.to(dtype).eval().requires_grad_(False)
    image, face = photo(), face_at(24, 20, 8)
    options: dict[str, Any] = {"people": [person("Ada", RED)], "analyzer": ColourAnalyzer([face]), "host": HOST}
    options |= {"scale": 2, "tile": 64, "overlap": 16, "identity_gate": "off"}
    image = paint(image, face, RED)
    full = hu.restore(image, HeadsUpModel(toy_model), **options)
    found = hu.restore(image, HeadsUpModel(half), **options)
    assert found.image.dtype == torch.float32
    assert found.report.faces[0].endswith("conditioned by reference")
    assert 0 < (found.image - full.image).abs().mean() < near


def test_an_adapter_restores_a_person(base: Base, tmp_path: Path) -> None:
    """HeadsUp's own adapter beside a base of Stable Diffusion's structure, whose UNet takes a reference then."""
    path = tmp_path / "mine.safetensors"
    save_headsup_adapter(path, *headsup_adapters(base))
    model, face = hu.load_model(adapter=path, base=base), face_at(24, 24, 8)
    image = paint(photo(48, 48), face, RED)
    options: dict[str, Any] = {"scale": 1, "tile": 48, "analyzer": ColourAnalyzer([face]), "host": HOST}
    plain = hu.restore(image, model, scale=1, tile=48, faces=ColourAnalyzer([face]).detect(image), host=HOST)
    known = hu.restore(image, model, people=[person("Ada", RED)], identity_gate="off", **options)
    (line,) = known.report.faces
    told = "the only face and the only person, conditioned by reference"
    assert line == f"face 0: Ada (score 1.00, 1 = two good photos), {told}"
    assert (known.image - plain.image).abs().max() > 1e-3
    silent = hu.restore(image, model.with_identities([person("Ada", RED)], strength=0), identity_gate="off", **options)
    assert torch.equal(silent.image, plain.image)
    gated = hu.restore(image, model, people=[person("Ada", RED)], **options)
    assert gated.report.identity_scores[0]["identity"] == "Ada"
    assert base.unet.conv_in.weight.shape[1] == 4, "the shared base is as it was"


def test_the_two_ways_to_give_options_are_one() -> None:
    options = RestoreOptions(scale=4, strength=0.5)
    assert replace(options, strength=1) == RestoreOptions(scale=4.0)
    with raises_naming(hu.InputError, "scale", 4, "long edge", 100):
        replace(options, long_edge=100)
    with pytest.raises(TypeError):
        hu.restore(photo(), hu.load_model(), skale=4)
