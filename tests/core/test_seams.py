from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from headsup_core.benchmark.measuring.seams import seam_energy
from headsup_core.imaging.blending import TileAccumulator, tile_weights
from headsup_core.imaging.tile_plan import TilePlan, plan_tiles

HEIGHT, WIDTH = 320, 400
PLAN = plan_tiles(HEIGHT, WIDTH, 160, 24)


def photo(seed: int = 0) -> torch.Tensor:
    """Large shapes and fine grain."""
    random = torch.Generator().manual_seed(seed)
    shapes = F.interpolate(torch.rand(1, 3, 9, 11, generator=random), (HEIGHT, WIDTH), mode="bicubic")
    return shapes * 0.8 + 0.02 * torch.randn(1, 3, HEIGHT, WIDTH, generator=random)


def stitched(image: torch.Tensor, plan: TilePlan, step: float, *, blended: bool) -> torch.Tensor:
    """Every second tile is brighter by `step`."""
    sums = TileAccumulator(1, 3, HEIGHT, WIDTH)
    for index, tile in enumerate(plan.tiles):
        weights = tile_weights(tile, 0 if blended else 10_000)
        sums.add(tile, tile.crop(image) + step * (index % 2), weights)
    return sums.result()


@pytest.mark.parametrize("seed", range(4))
def test_planted_seams_are_found_and_nothing_else(seed: int) -> None:
    image = photo(seed)
    clean = seam_energy(image, PLAN)
    assert not clean.found
    assert clean.ratio == pytest.approx(1, abs=0.1)
    hard = seam_energy(stitched(image, PLAN, 0.1, blended=False), PLAN)
    assert hard.found
    assert hard.ratio > 1.5
    assert not seam_energy(stitched(image, PLAN, 0.1, blended=True), PLAN).found


def test_in_the_difference_from_the_untiled_picture_a_faint_seam_is_found() -> None:
    """One of a third of the grain, which drowns in the picture's own lines."""
    image = photo()
    faint = stitched(image, PLAN, 0.006, blended=False)
    grain = 0.001 * torch.randn(image.shape, generator=torch.Generator().manual_seed(5))
    alone, against = seam_energy(faint, PLAN), seam_energy(faint + grain - image, PLAN)
    assert not alone.found
    assert against.found
    assert against.ratio > 1.5


def test_lines_of_the_picture_are_no_seams() -> None:
    """A line of the picture lies where tiles meet: alone it counts as a seam, against the untiled picture it does not,
    and a true seam beside it does."""
    image = photo()
    borders = sorted({tile.x0 + tile.left // 2 for tile in PLAN.tiles if tile.left})
    for x in borders:
        image[..., x] += 0.3
    grain = 0.001 * torch.randn(image.shape, generator=torch.Generator().manual_seed(6))
    assert seam_energy(image, PLAN).found
    against = seam_energy(image + grain, PLAN, image)
    assert not against.found
    assert against.ratio == pytest.approx(1, abs=0.01)
    assert seam_energy(stitched(image, PLAN, 0.1, blended=False), PLAN, image).found


def test_a_margin_moves_the_borders() -> None:
    image = photo()
    seams = stitched(image, PLAN, 0.1, blended=False)
    assert seam_energy(seams[..., 8:-8, 8:-8], PLAN, margin=8).ratio > 1.5


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(ValueError, match="border"):
        seam_energy(photo(), plan_tiles(HEIGHT, WIDTH, 512, 16))
    with pytest.raises(ValueError, match="overlaps"):
        seam_energy(photo(), plan_tiles(HEIGHT, WIDTH, 160, 120))
