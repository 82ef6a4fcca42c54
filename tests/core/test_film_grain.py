"""Grain lies over what is restored, alone there, and is the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from harness.stand_ins import ModelMaker

import headsup_core as hu
from headsup_core.restoring.finishing import GRAIN, GRAIN_SIDE, film_grain

HOST = hu.PlainHost("cpu", quiet=True)
GREY = torch.full((1, 3, 200, 240), 0.5)


def restored(make_model: ModelMaker, **options: Any) -> torch.Tensor:
    """By the identity restorer: whatever differs from the input is grain."""
    return hu.restore(GREY, make_model(), scale=1, host=HOST, **options).image


def test_grain_is_grey_as_strong_as_asked_and_follows_the_seed(make_model: ModelMaker) -> None:
    one = restored(make_model, grain=0.5, seed=1) - GREY
    assert torch.equal(one[:, 0], one[:, 1])
    assert float(one.std()) == pytest.approx(0.5 * GRAIN, rel=0.03)
    assert float(one.mean()) == pytest.approx(0, abs=0.002)
    assert torch.equal(restored(make_model, grain=0.5, seed=1) - GREY, one)
    assert not torch.equal(restored(make_model, grain=0.5, seed=2) - GREY, one)
    assert torch.equal(restored(make_model, grain=0, seed=2), restored(make_model))


def test_strength_and_mask_hold_for_grain(make_model: ModelMaker) -> None:
    full = restored(make_model, grain=0.5) - GREY
    assert torch.allclose(restored(make_model, grain=0.5, strength=0.5) - GREY, full / 2, atol=1e-6)
    mask = torch.zeros(1, 1, 200, 240)
    mask[..., 120:] = 1
    masked = restored(make_model, grain=0.5, mask=mask) - GREY
    assert torch.equal(masked[..., :110], torch.zeros(1, 3, 200, 110))
    assert torch.allclose(masked[..., 130:], full[..., 130:], atol=1e-6)


def test_black_and_white_stay_and_a_larger_picture_has_coarser_grain() -> None:
    ends = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)], dim=-1)
    assert not film_grain(ends, 1.0, 0).any()
    small, large = (film_grain(torch.full((1, 3, 16, side), 0.5), 1.0, 0)[0, 0, 8] for side in (1024, 4 * GRAIN_SIDE))
    for row in (small, large):
        assert float(row.std()) == pytest.approx(GRAIN, rel=0.15)
    alike = [float((row[1:] * row[:-1]).mean() / (row * row).mean()) for row in (small, large)]
    assert abs(alike[0]) < 0.15
    assert alike[1] > 0.8


def test_each_picture_of_a_batch_has_its_own_grain(make_model: ModelMaker) -> None:
    model, options = make_model(), hu.RestoreOptions(scale=1, grain=0.5, seed=7)
    both = hu.restore(GREY.expand(2, -1, -1, -1), model, options, host=HOST).image
    for index in range(2):
        assert torch.equal(both[index], hu.restore(GREY, model, options.for_picture(index), host=HOST).image[0])
    assert not torch.equal(both[0], both[1])
    assert options.settings() != hu.RestoreOptions(scale=1, grain=0.5, seed=8).settings(), "--resume knows them apart"
