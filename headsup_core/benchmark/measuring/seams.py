"""Seams at tile borders, as numbers beside what chance gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...imaging.tile_plan import TilePlan
from ..metrics.metric import luma

STEP = 4
"""Pixels between the false places that borders are moved to."""
Span = tuple[int, int]


@dataclass(frozen=True)
class SeamEnergy:
    """How visible tile borders are; 1 = as visible as lines elsewhere.

    Attributes:
        ratio: energy at the borders, as a share of the mean at false borders, or of that of an untiled picture.
        low, high: 95 % of the false placements have ratios between these, since a picture's own lines differ.
    """

    ratio: float
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether borders stand out beyond chance."""
        return self.ratio > self.high

    def __str__(self) -> str:
        return f"{self.ratio:.2f} (elsewhere {self.low:.2f} to {self.high:.2f})"


def seam_energy(
    tiled: torch.Tensor, plan: TilePlan, untiled: torch.Tensor | None = None, margin: int = 0
) -> SeamEnergy:
    """The energy of tile borders in `tiled` `[1,3,H,W]` against that of the same borders moved elsewhere.

    A line's energy is the mean absolute second difference of luma across it; a border's is the largest of the lines of
    its overlap, wherever in it the seam lies. False borders are all placements of the overlaps, moved along together
    and around the picture's end, that touch no true one.

    Args:
        plan: in pixels of the picture with a margin of `margin` pixels on each side.
        untiled: what `tiled` would be without borders: at each placement the energy is divided by the one there, so
            that a picture's own lines (a face that lies where tiles meet) do not count. Without it they do: then the
            same figure of the untiled picture says what the content alone gives.

    Raises:
        ValueError: the plan has no border inside the picture, or no room for false ones.
    """
    rows = {(tile.y0 - margin, tile.y0 + tile.top - margin) for tile in plan.tiles if tile.top}
    columns = {(tile.x0 - margin, tile.x0 + tile.left - margin) for tile in plan.tiles if tile.left}
    axes = [(spans, across) for spans, across in ((rows, False), (columns, True)) if spans]
    if not axes:
        raise ValueError("the plan has no border inside the picture")
    found = [_axis(tiled, untiled, spans, across=across) for spans, across in axes]
    ratio = sum(own for own, _ in found) / len(found)
    # the axes' false placements are independent: any of one with any of the other
    false = found[0][1] if len(found) == 1 else ((found[0][1][:, None] + found[1][1]) / 2).flatten()
    low, high = (float(false.sort().values[round(share * (len(false) - 1))]) for share in (0.025, 0.975))
    return SeamEnergy(ratio, low, high)


def _axis(
    tiled: torch.Tensor, untiled: torch.Tensor | None, spans: set[Span], *, across: bool
) -> tuple[float, torch.Tensor]:
    """The ratio at the borders that cross rows (or columns: `across`), and at each false placement `[n]`."""
    own, false = _placements(_line_energy(tiled, across=across), spans)
    if untiled is None:
        return float(own / false.mean()), false / false.mean()
    own_before, false_before = _placements(_line_energy(untiled, across=across), spans)
    return float(own / own_before), false / false_before


def _line_energy(image: torch.Tensor, *, across: bool) -> torch.Tensor:
    """Mean absolute second difference of luma across each row (or column)."""
    values = luma(image)[0, 0].double()
    lines = values.T if across else values
    energy = (lines[2:] - 2 * lines[1:-1] + lines[:-2]).abs().mean(dim=1)
    return torch.cat([energy[:1], energy, energy[-1:]])


def _placements(energy: torch.Tensor, spans: set[Span]) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy at the borders, and at each false placement `[n]`."""
    length = len(energy)
    true = torch.zeros(length, dtype=torch.bool)
    for start, end in spans:
        true[max(0, start) : end] = True
    places = [torch.arange(start, end) for start, end in sorted(spans)]

    def at(shift: int) -> torch.Tensor:
        return torch.stack([energy[(place + shift) % length].max() for place in places]).mean()

    everywhere = torch.cat(places)
    shifts = [shift for shift in range(STEP, length, STEP) if not bool(true[(everywhere + shift) % length].any())]
    if not shifts:
        raise ValueError(f"overlaps {sorted(spans)} leave no room for false borders in {length} lines")
    return at(0), torch.stack([at(shift) for shift in shifts])
