"""The tables as pictures: a dot a system, a line for its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...libraries import need
from ..comparing.evaluate import Record, values
from ..figures import as_papers_state_it, style
from .intervals import interval
from .tables import REGIONS, figures_of

COLUMNS = 3
PANEL = (3.6, 0.34)
"""Inches: width, and height a system."""


def write_plots(folder: Path, records: Sequence[Record]) -> list[str]:
    """`plot_REGION.png` of each region that was measured; says so instead when matplotlib is not installed."""
    try:
        need("matplotlib", purpose="drawing plots")
    except InputError as error:
        return [f"No plots: {error}"]
    for region, words in REGIONS.items():
        measured = [record for record in records if getattr(record, region)]
        if measured:
            _plot(measured, region, words).savefig(folder / f"plot_{region}.png", dpi=110)
    return []


def _plot(records: Sequence[Record], region: str, words: str) -> Any:  # noqa: ANN401 - matplotlib's Figure
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    names = [name for name in figures_of(records, region) if not as_papers_state_it(name)]
    systems = list(dict.fromkeys(record.system for record in records))
    rows = -(-len(names) // COLUMNS)
    size = (PANEL[0] * COLUMNS + 1.5, rows * (PANEL[1] * len(systems) + 0.8) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"{words}: mean and 95 % interval over people")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).flatten()
    for panel, name in zip(panels, names, strict=False):
        for place, system in enumerate(systems):
            own, people = values(records, region, name, system)
            if not own:
                continue
            found = interval(list(own.values()), list(people.values()))
            panel.plot([found.low, found.high], [place, place], color="tab:blue", linewidth=2)
            panel.plot([found.mean], [place], "o", color="tab:blue")
        direction = {"+": "higher is better", "-": "lower is better", "": ""}[style(name).better]
        panel.set_title(name if not direction else f"{name}, {direction}", fontsize=9)
        panel.set_yticks(range(len(systems)), systems, fontsize=8)
        panel.tick_params(axis="x", labelsize=8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_ylim(len(systems) - 0.5, -0.5)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    return figure
