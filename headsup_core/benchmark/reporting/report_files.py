"""The files of a benchmark: tables, JSON, plots and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..comparing.evaluate import Outcome
from .contact_sheets import contact_sheet
from .paper_tables import paper_table
from .plots import write_plots
from .slices import Slices, slices_table
from .tables import make_table


def write_report(
    folder: Path,
    title: str,
    outcome: Outcome,
    peer: str,
    provenance: Mapping[str, Any],
    slices: Path | None = None,
) -> str:
    """Write `table.md`, `papers.md` (the same in papers' columns), `results.json`, `plot_REGION.png` and `NAME.png`
    (systems side by side, 100 %).

    Args:
        slices: a CSV file as `Slices.from_file` reads it, for `slices.md`.

    Returns:
        The table.
    """
    said = None if slices is None else Slices.from_file(slices)
    folder.mkdir(parents=True, exist_ok=True)
    outcome.notes += write_plots(folder, outcome.records)
    table = make_table(title, outcome, peer)
    (folder / "table.md").write_text(table)
    (folder / "papers.md").write_text(paper_table(title, outcome), encoding="utf-8")
    if said is not None:
        (folder / "slices.md").write_text(slices_table(outcome.records, said))
    results = {
        "title": title,
        **provenance,
        "notes": outcome.notes,
        "fid": dict(outcome.fid),
        "records": [asdict(record) for record in outcome.records],
        "failures": outcome.failures,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    for name, sheet in outcome.sheets.items():
        contact_sheet(sheet.face()).save(folder / f"{name}.png")
    return table
