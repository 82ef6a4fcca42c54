"""Markdown tables of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..comparing.evaluate import Outcome, Record, paired, values
from ..figures import as_papers_state_it, style
from .intervals import Interval, interval

REGIONS = {"whole": "whole picture", "face": "face region"}


def make_table(title: str, outcome: Outcome, peer: str) -> str:
    """Per region a row a system, mean with 95 % interval; then the differences from `peer`."""
    records = outcome.records
    systems = list(dict.fromkeys(record.system for record in records))
    lines = [f"### {title}", ""]
    for region, words in REGIONS.items():
        measured = [record for record in records if getattr(record, region)]
        if not measured:
            continue
        every = figures_of(measured, region)
        figures = [name for name in every if not as_papers_state_it(name)]
        cases, people = (len({getattr(record, key) for record in measured}) for key in ("case", "person"))
        counted = f"{words}, {cases} pictures of {people} people"
        lines += [f"{counted}, mean [95 %, resampling people]; (+) higher is better, (-) lower is better", ""]
        lines += _means(measured, region, figures, systems)
        lines += _differences(measured, region, figures, systems, peer)
        if published := [name for name in every if as_papers_state_it(name)]:
            lines += [f"{words}, on the scales of publications", ""]
            lines += _means(measured, region, published, systems)
    faceless = sorted({record.case for record in records if not record.face})
    if any(record.face for record in records) and faceless:
        lines += [f"No face was found in {len(faceless)} clean pictures: {', '.join(faceless)}", ""]
    if outcome.fid:
        lines += [f"| system | FID (-), whole pictures, n = {len({record.case for record in records})} |", "|---|---|"]
        lines += [*(f"| {name} | {distance:.2f} |" for name, distance in outcome.fid.items()), ""]
    lines += [*(f"* {note}" for note in outcome.notes), ""]
    if outcome.failures:
        lines += ["Failed:", "", *(f"* {failure}" for failure in outcome.failures), ""]
    return "\n".join(lines)


def _means(records: Sequence[Record], region: str, figures: Sequence[str], systems: Sequence[str]) -> list[str]:
    """A row a system; the median seconds in the last column."""
    lines = [f"| system | {' | '.join(style(name).heading(name) for name in figures)} | seconds |"]
    lines += ["|---" * (len(figures) + 2) + "|"]
    for system in systems:
        cells = [_cell(records, region, name, system) for name in figures]
        seconds = [record.seconds for record in records if record.system == system]
        shown_seconds = f"{float(np.median(seconds)):.2f}" if seconds else ""
        lines.append(f"| {system} | {' | '.join(cells)} | {shown_seconds} |")
    return [*lines, ""]


def figures_of(records: Sequence[Record], region: str) -> list[str]:
    """Every figure that some record has, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in getattr(record, region)))


def shown(found: Interval, digits: int, sign: str = "") -> str:
    """`mean [low, high]`."""
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _cell(records: Sequence[Record], region: str, figure: str, system: str) -> str:
    own, people = values(records, region, figure, system)
    return shown(interval(list(own.values()), list(people.values())), style(figure).digits) if own else ""


def _differences(
    records: Sequence[Record], region: str, figures: Sequence[str], systems: Sequence[str], peer: str
) -> list[str]:
    if peer not in systems or len(systems) < 2:
        return []
    lines = [f"| minus {peer}, pairwise | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for system in systems:
        if system == peer:
            continue
        cells: list[str] = []
        for figure in figures:
            found = difference(records, region, figure, system, peer)
            cells.append("" if found is None else shown(found, style(figure).digits, "+"))
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return [*lines, ""]


def difference(records: Sequence[Record], region: str, figure: str, system: str, peer: str) -> Interval | None:
    """Mean of (system - peer) over the cases that both have; None without any."""
    ours, theirs, people = paired(records, region, figure, system, peer)
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], people) if ours else None
