from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.records import with_record
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.imaging.padding import add_margin
from headsup_core.imaging.resizing import resize
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.headsup_model import HeadsUpModel

HOST = hu.PlainHost("cpu", quiet=True)


def _picture(height: int, width: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [1, 24, 63, 64, 65, 98, 130])
@pytest.mark.parametrize(("tile", "overlap"), [(None, None), (64, 0), (64, 8), (64, 56), (32, 13), (8, 0)])
def test_identity_model_gives_back_the_enlargement(
    make_model: Any, size: int, tile: int | None, overlap: int | None
) -> None:
    image = _picture(size, max(1, 130 - size), batch=1 + size % 3, seed=size)
    result = hu.restore(image, make_model(), scale=1, tile=tile, overlap=overlap, host=HOST)
    assert result.image.shape == image.shape
    assert torch.allclose(result.image, image, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 3000), (3000, 7), (2, 90)])
def test_thin_pictures(make_model: Any, height: int, width: int) -> None:
    image = _picture(height, width)
    result = hu.restore(image, make_model(), scale=2, tile=128, overlap=16, host=HOST)
    assert result.image.shape == (1, 3, 2 * height, 2 * width)
    assert torch.allclose(result.image, result.before, atol=1e-6)


@pytest.mark.parametrize("size", [(96, 160), (131, 77), (240, 200)])
def test_tiled_equals_untiled_for_a_bounded_network(make_model: Any, size: tuple[int, int]) -> None:
    """A quarter of the overlap, which counts nothing at a tile's border, is the radius: 3 latents = 12 px."""
    model = make_model(layers=3)
    image = _picture(*size, batch=2)
    whole = hu.restore(image, model, scale=1, tile=4096, host=HOST)
    tiled = hu.restore(image, model, scale=1, tile=64, overlap=4 * 12, host=HOST)
    assert tiled.report.tiles > 3
    assert whole.report.tiles == 1
    assert not torch.allclose(whole.image, whole.before, atol=1e-2)
    assert torch.allclose(tiled.image, whole.image, atol=1e-5)
    careless = hu.restore(image, model, scale=1, tile=64, overlap=0, host=HOST)
    assert not torch.allclose(careless.image, whole.image, atol=1e-3), "the comparison can tell"


def test_tile_batches_change_nothing_but_rounding(make_model: Any) -> None:
    image = _picture(90, 130, batch=2)
    options: dict[str, Any] = {"tile": 48, "overlap": 24, "host": HOST}
    one = hu.restore(image, make_model(layers=2), scale=1, tile_batch=1, **options)
    four = hu.restore(image, make_model(layers=2), scale=1, tile_batch=4, **options)
    assert (one.report.tile_batch, four.report.tile_batch) == (1, 4)
    assert torch.allclose(one.image, four.image, atol=1e-6)


def test_deterministic_and_leaves_the_random_state_alone(toy_model: OneStepModel) -> None:
    image = _picture(21, 34)
    state = torch.random.get_rng_state()
    first = hu.restore(image, HeadsUpModel(toy_model), tile=64, overlap=16, seed=3, sample_posterior=True, host=HOST)
    assert torch.equal(torch.random.get_rng_state(), state)
    report = first.report
    again = hu.restore(
        image,
        HeadsUpModel(toy_model),
        tile=report.tile,
        overlap=report.overlap,
        tile_batch=report.tile_batch,
        seed=3,
        sample_posterior=True,
        host=HOST,
    )
    assert torch.equal(first.image, again.image)
    assert first.image.shape == (1, 3, 84, 136)


def test_every_picture_of_a_batch_is_restored_by_itself(toy_model: OneStepModel) -> None:
    batch = _picture(20, 24, batch=3)
    together = hu.restore(batch, HeadsUpModel(toy_model), host=HOST).image
    for index in range(3):
        alone = hu.restore(batch[index : index + 1], HeadsUpModel(toy_model), host=HOST).image
        assert torch.equal(together[index], alone[0])


def test_input_is_not_changed(toy_model: OneStepModel) -> None:
    image = _picture(16, 16)
    copy = image.clone()
    result = hu.restore(image, HeadsUpModel(toy_model), scale=1, host=HOST)
    result.image.zero_()
    assert torch.equal(image, copy)


def test_strength_and_mask(make_model: Any) -> None:
    model, image = make_model(layers=2), _picture(40, 48)
    full = hu.restore(image, model, scale=2, host=HOST)
    none = hu.restore(image, model, scale=2, strength=0, host=HOST)
    assert torch.equal(none.image, resize(image, 80, 96))
    half = hu.restore(image, model, scale=2, strength=0.5, host=HOST)
    assert torch.allclose(half.image, (full.image + full.before) / 2, atol=1e-6)
    mask = torch.zeros(1, 1, 40, 48)
    mask[..., 24:] = 1
    masked = hu.restore(image, model, scale=2, mask=mask, host=HOST)
    assert torch.equal(masked.image[..., :40], full.before[..., :40])
    assert torch.allclose(masked.image[..., 56:], full.image[..., 56:], atol=1e-6)
    with raises_naming(hu.InputError, "[1 or 1, 1, height, width]"):
        hu.restore(image, model, scale=2, mask=torch.ones(2, 1, 4, 4), host=HOST)


def test_color_fix_is_applied_to_the_whole_picture(make_model: Any) -> None:
    model, image = make_model(layers=2), _picture(64, 64)
    result = hu.restore(image, model, scale=1, tile=32, overlap=8, color_fix="adain", host=HOST)
    assert torch.allclose(result.image.mean((2, 3)), image.mean((2, 3)), atol=0.02)
    assert result.report.options.color_fix == "adain"


class Stop(BaseException):
    """As ComfyUI's interrupt in new versions: no Exception."""


def test_cancelling_is_asked_at_every_tile(make_model: Any) -> None:
    asked: list[int] = []

    class Impatient(hu.PlainHost):
        def check_cancelled(self) -> None:
            asked.append(1)
            if len(asked) == 5:
                raise Stop

    with pytest.raises(Stop):
        hu.restore(_picture(64, 64), make_model(), scale=1, tile=32, overlap=8, host=Impatient("cpu", quiet=True))
    assert len(asked) == 5


def test_network_that_gives_nan_is_reported(make_model: Any) -> None:
    model = make_model(layers=1)
    model.one_step.unet.weights[0].fill_(float("nan"))
    with raises_naming(hu.HeadsUpError, "UNet", "stand-in", "NaN", "float32"):
        hu.restore(_picture(16, 16), model, scale=1, host=HOST)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scale": 0}, ("scale", 0)),
        ({"scale": -2}, ("scale", -2)),
        ({"scale": float("nan")}, ("scale", math.nan)),
        ({"tile": 64, "overlap": 64}, ("tile", "overlap", 64)),
        ({"tile": 4}, ("tile", 4, "stand-in", 8)),
        ({"overlap": -1}, ("overlap", -1)),
        ({"strength": 1.5}, ("strength", 1.5, 0, 1)),
        ({"color_fix": "sepia"}, ("'sepia'", "none", "adain", "wavelet", "lab")),
        ({"scale": None, "long_edge": 100_000}, (100_000,)),
    ],
)
def test_wrong_options_state_numbers_and_remedy(
    make_model: Any, options: dict[str, Any], named: tuple[object, ...]
) -> None:
    with raises_naming(hu.InputError, *named):
        hu.restore(_picture(16, 16), make_model(), **{"scale": 1, **options}, host=HOST)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (torch.full((2, 3, 4, 4), float("nan")), ("NaN",)),
        (torch.zeros(1, 3, 0, 4), ("(1, 3, 0, 4)",)),
        (torch.zeros(1, 4, 4, 4), ("(1, 4, 4, 4)", "[B,3,H,W]")),
        (torch.zeros(3, 4, 4), ("(3, 4, 4)", "[B,3,H,W]")),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), ("uint8", "float")),
    ],
)
def test_wrong_pictures_are_refused(make_model: Any, image: torch.Tensor, named: tuple[str, ...]) -> None:
    with raises_naming(hu.InputError, *named):
        hu.restore(image, make_model(), scale=1, host=HOST)


def test_output_larger_than_memory_is_refused_before_work(make_model: Any) -> None:
    long = torch.zeros(1, 3, 400, 2000)
    with pytest.raises(hu.InputError, match=r"GiB of main memory|at most"):
        hu.restore(long, make_model(), scale=32, host=HOST)


def test_megapixel_cap_and_long_edge(make_model: Any) -> None:
    image = _picture(30, 40)
    assert hu.restore(image, make_model(), long_edge=100, host=HOST).image.shape[-2:] == (75, 100)
    capped = hu.restore(image, make_model(), scale=4, max_megapixels=0.01, host=HOST).image
    assert capped.shape[-2] * capped.shape[-1] <= 10_000


def test_prompts_are_ignored_aloud(make_model: Any) -> None:
    result = hu.restore(_picture(8, 8), make_model(), scale=1, prompt="a man", host=HOST)
    assert "the text was ignored" in result.report.text()
    result = hu.restore(_picture(8, 8), make_model(), scale=1, conditioning=torch.zeros(1, 77, 1024), host=HOST)
    assert "the conditioning was ignored" in result.report.text()


def test_restoration_is_the_published_formula(toy_model: OneStepModel) -> None:
    """decode(z - unet(concat[z, 0, 0])) of the bicubic enlargement, by hand."""
    image = _picture(8, 8)
    enlarged = F.interpolate(image, size=(32, 32), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    z = toy_model.codec.vae.encode(enlarged * 2 - 1).latents
    sample = torch.cat([z, torch.zeros(1, 5, 8, 8)], dim=1)
    noise = toy_model.unet(sample, 1, encoder_hidden_states=toy_model.prompt.embeddings(None)).sample
    expected = (toy_model.codec.vae.decode(z - noise).sample / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(hu.restore(image, HeadsUpModel(toy_model), scale=4, host=HOST).image, expected, atol=1e-5)


def test_margin_is_restored_with_the_picture_and_cut_off(toy_model: OneStepModel) -> None:
    image = _picture(10, 12)
    plain = hu.restore(image, HeadsUpModel(toy_model), scale=4, host=HOST)
    around = hu.restore(image, HeadsUpModel(with_record(toy_model, margin=8)), scale=4, host=HOST)
    wide = hu.restore(add_margin(plain.before, 8), HeadsUpModel(toy_model), scale=1, host=HOST)
    assert around.image.shape == plain.image.shape
    assert torch.equal(around.before, plain.before)
    assert torch.allclose(around.image, wide.image[..., 8:-8, 8:-8], atol=1e-5)
    assert not torch.allclose(around.image, plain.image, atol=1e-4)
