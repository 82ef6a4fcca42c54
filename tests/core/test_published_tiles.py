"""Published systems' own tiles, against a loop over tiles as their scripts are described."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.images import picture as formula
from harness.published_tiling import gaussian_tiles
from harness.systems import osediff_file

import headsup_core as hu
from headsup_core.errors import InputError
from headsup_core.host import PlainHost
from headsup_core.imaging.published_tiles import PublishedTiles, gaussian_weights
from headsup_core.models.bases.base import Base
from headsup_core.restoring.tiling.tiled_run import Stage, Tiling, run_tiled

HOST = PlainHost("cpu", quiet=True)


def seen(tiles: torch.Tensor) -> torch.Tensor:
    """Depends on the whole tile, as a UNet's answer does."""
    return tiles * 2 - tiles.mean((2, 3), keepdim=True) + tiles.amax(3, keepdim=True)


@pytest.mark.parametrize(("height", "width"), [(20, 28), (8, 30), (7, 9), (8, 8), (5, 40), (24, 24)])
def test_tiles_and_bells_are_the_scripts(height: int, width: int) -> None:
    latent = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(height))
    tiling = Tiling(8, 4, 1, 1, 8, batch=3, published=PublishedTiles(8, 4))
    stage = Stage("the UNet", lambda tiles, places: seen(tiles), 4, 1, 1)
    with HOST.progress(1) as progress:
        found = run_tiled(stage, latent, tiling, HOST, progress)
    torch.testing.assert_close(found, gaussian_tiles(seen, latent, 8, 4), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("middle", "row"), [("half", 4.0), ("centre", 3.5)])
def test_bells_sum_to_one_and_have_their_middle(middle: str, row: float) -> None:
    plan = PublishedTiles(8, 4, middle).plan(12, 8)
    upper, lower = (gaussian_weights(plan, index, middle)[0, 0] for index in range(2))
    assert torch.allclose(upper[4:] + lower[:4], torch.ones(4, 8), atol=1e-6)
    # at row r of the upper tile, r - 4 of the lower: the ratio of two bells of variance 0.01 * 8^2
    at = 6
    ratio = torch.tensor(-((at - row) ** 2 - (at - 4 - row) ** 2) / (2 * 0.01 * 64)).exp()
    assert float(upper[at, 0] / lower[at - 4, 0]) == pytest.approx(float(ratio), rel=1e-4)


@torch.no_grad()
def test_a_restoration_with_published_tiles(base: Base, tmp_path: Path) -> None:
    model = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    assert (model.one_step.record.published_tiles or PublishedTiles(0, 0)).tile == 96
    image = formula(64, 64).permute(0, 3, 1, 2)
    options = {"scale": 1, "color_fix": "none", "host": HOST, "tile": 16, "overlap": 8}
    own, theirs = (hu.restore(image, model, tiling=way, **options) for way in ("own", "published"))
    prompt = model.one_step.prompt.embeddings(None)
    latent = model.one_step.codec.encode(image)
    factor = model.one_step.codec.factor
    clean = gaussian_tiles(lambda tile: model.one_step.denoise(tile, prompt), latent, 16 // factor, 8 // factor)
    expected = model.one_step.codec.decode(clean).clamp(0, 1)
    assert torch.allclose(theirs.image, expected, atol=1e-3)
    assert not torch.allclose(own.image, expected, atol=1e-2)


def test_a_model_without_tiles_of_its_own_says_so() -> None:
    with pytest.raises(InputError):
        hu.restore(torch.rand(1, 3, 16, 16), hu.load_model("headsup-tiny"), tiling="published", host=HOST)
