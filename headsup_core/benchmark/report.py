"""Tables, JSON and contact sheets of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from .evaluate import Keep, Record, interval, paired_difference
from .metrics import HIGHER_IS_BETTER

LABEL_HEIGHT = 18
REGIONS = {"whole": "whole picture", "face": "face region"}


def write_report(
    folder: Path, title: str, records: Sequence[Record], failures: Sequence[str], sheets: Keep, peer: str
) -> str:
    """Write `table.md`, `results.json` and `NAME.png` (systems side by side, 100 %); returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    table = make_table(title, records, failures, peer)
    (folder / "table.md").write_text(table)
    results = {"title": title, "records": [asdict(record) for record in records], "failures": list(failures)}
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    for name, row in sheets.items():
        contact_sheet(row).save(folder / f"{name}.png")
    return table


def make_table(title: str, records: Sequence[Record], failures: Sequence[str], peer: str) -> str:
    """Markdown: per region a row a system, mean with 95 % interval; then the differences from `peer`."""
    systems = list(dict.fromkeys(record.system for record in records))
    lines = [f"### {title}", ""]
    for region, words in REGIONS.items():
        measured = [record for record in records if getattr(record, region)]
        if not measured:
            continue
        figures = list(getattr(measured[0], region))
        cases = len({record.case for record in measured})
        header = [f"{figure} {'(+)' if HIGHER_IS_BETTER[figure] else '(-)'}" for figure in figures]
        lines += [f"{words}, {cases} pictures, mean [95 %]; (+) higher is better, (-) lower is better", ""]
        lines += [f"| system | {' | '.join(header)} | seconds |", "|---" * (len(figures) + 2) + "|"]
        for system in systems:
            own = [record for record in measured if record.system == system]
            cells = [_cell([getattr(record, region)[figure] for record in own], figure) for figure in figures]
            seconds = float(np.median([record.seconds for record in own]))
            lines.append(f"| {system} | {' | '.join(cells)} | {seconds:.2f} |")
        lines.append("")
        lines += _differences(measured, region, figures, systems, peer)
    faceless = sorted({record.case for record in records if not record.face})
    if any(record.face for record in records) and faceless:
        lines += [f"No face was found in {len(faceless)} clean pictures: {', '.join(faceless)}", ""]
    if failures:
        lines += ["Failed:", "", *(f"* {failure}" for failure in failures), ""]
    return "\n".join(lines)


def _cell(values: Sequence[float], figure: str) -> str:
    digits = 2 if figure == "psnr_y" else 3
    found = interval(values)
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _differences(
    records: Sequence[Record], region: str, figures: Sequence[str], systems: Sequence[str], peer: str
) -> list[str]:
    if peer not in systems:
        return []
    lines = [f"| minus {peer}, pairwise | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for system in systems:
        if system == peer:
            continue
        cells: list[str] = []
        for figure in figures:
            found = paired_difference(records, region, figure, system, peer)
            digits = 2 if figure == "psnr_y" else 3
            three = () if found is None else (found.mean, found.low, found.high)
            cells.append("{} [{}, {}]".format(*(f"{value:+.{digits}f}" for value in three)) if three else "")
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return [*lines, ""]


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
