"""Colours below transparency do not matter; visible ones stay."""

from __future__ import annotations

import pytest
import torch

from headsup_core.imaging.hidden_colors import VISIBLE, fill_hidden
from headsup_core.imaging.resizing import resize


def cutout(height: int = 37, width: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a hard hole, and its opacity."""
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(1, 3, height, width, generator=generator)
    alpha = torch.ones(1, 1, height, width)
    alpha[..., :, max(1, width // 2) :] = 0
    alpha[..., 3:9, 4:9] = 0
    alpha[..., max(1, height - 1) :, :] = 0
    return rgb, alpha


@pytest.mark.parametrize("hidden", [0.0, 1.0, 0.37, float("nan")])
@pytest.mark.parametrize("size", [(37, 50), (1, 50), (50, 1), (64, 64), (2, 3)])
def test_the_result_does_not_depend_on_what_is_hidden(hidden: float, size: tuple[int, int]) -> None:
    rgb, alpha = cutout(*size)
    other = torch.where(alpha > 0, rgb, hidden)
    assert torch.equal(fill_hidden(rgb, alpha), fill_hidden(other, alpha))


def test_visible_colours_stay_and_hidden_ones_are_like_those_beside_them() -> None:
    rgb, alpha = cutout()
    rgb = torch.where(alpha > 0, torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1), 0.0)
    filled = fill_hidden(rgb, alpha)
    assert torch.equal(filled[alpha.expand_as(rgb) > 0], rgb[alpha.expand_as(rgb) > 0])
    torch.testing.assert_close(filled, torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand_as(filled))
    enlarged = resize(filled, 148, 200)  # no rim
    torch.testing.assert_close(enlarged, torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand_as(enlarged))


def test_faint_colours_count_little_and_change_little() -> None:
    rgb, alpha = cutout()
    faint = torch.where(alpha > 0, alpha, 1 / 255)
    black, white = (fill_hidden(torch.where(alpha > 0, rgb, value), faint) for value in (0.0, 1.0))
    assert (black - white).abs()[alpha.expand_as(rgb) == 0].max() < 0.25
    for filled, value in ((black, 0.0), (white, 1.0)):
        seen = (filled - torch.where(alpha > 0, rgb, value)).abs() * faint
        assert seen.max() <= 2.01 / 255


def test_what_is_opaque_or_shows_nothing_is_left_alone() -> None:
    rgb, alpha = cutout()
    assert fill_hidden(rgb, torch.ones_like(alpha)) is rgb
    assert fill_hidden(rgb, torch.full_like(alpha, VISIBLE)) is rgb
    assert torch.equal(fill_hidden(rgb, torch.zeros_like(alpha)), rgb)
    both = fill_hidden(torch.cat((rgb, rgb)), torch.cat((alpha, alpha * 0)))
    assert torch.equal(both[:1], fill_hidden(rgb, alpha))
    assert torch.equal(both[1:], rgb)
