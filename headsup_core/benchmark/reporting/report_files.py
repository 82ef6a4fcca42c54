"""Files of a benchmark: tables, JSON, plots and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from ..comparing.evaluate import Outcome
from .plots import write_plots
from .tables import make_table

LABEL_HEIGHT = 18


def write_report(folder: Path, title: str, outcome: Outcome, peer: str, provenance: Mapping[str, Any]) -> str:
    """Write `table.md`, `results.json`, `plot_REGION.png` and `NAME.png` (systems side by side, 100 %).

    Returns:
        The table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcome.notes += write_plots(folder, outcome.records)
    table = make_table(title, outcome, peer)
    (folder / "table.md").write_text(table)
    results = {
        "title": title,
        **provenance,
        "notes": outcome.notes,
        "fid": dict(outcome.fid),
        "records": [asdict(record) for record in outcome.records],
        "failures": outcome.failures,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    for name, row in outcome.sheets.items():
        contact_sheet(row).save(folder / f"{name}.png")
    return table


def stacked(sheets: Mapping[str, Sequence[tuple[str, torch.Tensor]]], factor: int = 1) -> Image.Image:
    """Contact sheets below each other, each pixel `factor` pixels wide and high. Raises `ValueError` without any."""
    rows = [
        contact_sheet([(name, image.repeat_interleave(factor, 2).repeat_interleave(factor, 3)) for name, image in row])
        for row in sheets.values()
    ]
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole


def contact_sheet(row: Sequence[tuple[str, torch.Tensor]]) -> Image.Image:
    """Labelled pictures `[1,3,H,W]` of one size side by side, not resized."""
    pictures = [(name, (image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8)) for name, image in row]
    height, width = pictures[0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(pictures), height + LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, picture) in enumerate(pictures):
        draw.text((index * width + 4, 3), name, fill="black")
        sheet.paste(Image.fromarray(picture.numpy()), (index * width, LABEL_HEIGHT))
    return sheet
