"""Figures of groups of people: by age, gender, skin tone, glasses or whatever else a table says of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..comparing.evaluate import Record, values
from ..figures import as_papers_state_it, style
from .intervals import interval
from .tables import figures_of, shown

KINDS = 6
"""Numbers that differ more often than this are put into three groups of about equal size."""


@dataclass(frozen=True)
class Slices:
    """What is said of people.

    Attributes:
        attributes: attribute -> person or picture -> value.
    """

    attributes: Mapping[str, Mapping[str, str]]

    @classmethod
    def from_file(cls, path: Path) -> Slices:
        """A CSV file: a person (or a picture's name without its ending) in the first column, attributes in the others.

        Raises:
            InputError: it cannot be read, or has no second column.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                heads, *rows = list(csv.reader(file)) or [[]]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"--slices {path} cannot be read: {error}") from error
        if len(heads) < 2:
            raise InputError(f"--slices {path}: a person in the first column and an attribute in the second are needed")
        return cls(
            {
                head: {row[0]: row[column].strip() for row in rows if len(row) > column and row[column].strip()}
                for column, head in enumerate(heads)
                if column
            }
        )

    def groups(self, attribute: str, records: Sequence[Record]) -> dict[str, list[Record]]:
        """The records by their value, in ascending order; those of whom nothing is said are left out."""
        said = self.attributes[attribute]
        found = [(said.get(record.case, said.get(record.person)), record) for record in records]
        told = {(record.person, value) for value, record in found if value is not None}
        label = _labels([value for _, value in told])
        groups: dict[str, list[Record]] = {name: [] for name in dict.fromkeys(label.values())}
        for value, record in found:
            if value is not None:
                groups[label[value]].append(record)
        return groups


def slices_table(records: Sequence[Record], slices: Slices) -> str:
    """Markdown: for each attribute a row a group and system, of the face region (the whole picture without faces)."""
    region = "face" if any(record.face for record in records) else "whole"
    figures = [name for name in figures_of(records, region) if not as_papers_state_it(name)]
    systems = list(dict.fromkeys(record.system for record in records))
    lines: list[str] = []
    for attribute in slices.attributes:
        lines += [f"### {attribute}", ""]
        lines += [f"| {attribute} | people | system | {' | '.join(style(name).heading(name) for name in figures)} |"]
        lines += ["|---" * (len(figures) + 3) + "|"]
        for group, own in slices.groups(attribute, records).items():
            people = len({record.person for record in own})
            for system in systems:
                cells = [_cell(own, region, figure, system) for figure in figures]
                lines.append(f"| {group} | {people} | {system} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(records: Sequence[Record], region: str, figure: str, system: str) -> str:
    own, people = values(records, region, figure, system)
    if not own:
        return ""
    found, digits = interval(list(own.values()), list(people.values())), style(figure).digits
    return shown(found, digits)


def _labels(said: Sequence[str]) -> dict[str, str]:
    """Value -> the group that it belongs to, in ascending order."""
    kinds = sorted(set(said))
    try:
        numbers = {value: float(value) for value in kinds}
    except ValueError:
        return {value: value for value in kinds}
    kinds.sort(key=lambda value: numbers[value])
    if len(kinds) <= KINDS:
        return {value: value for value in kinds}
    low, high = np.quantile([numbers[value] for value in said], [1 / 3, 2 / 3])
    names = (f"up to {low:g}", f"above {low:g} up to {high:g}", f"above {high:g}")
    return {value: names[int(numbers[value] > low) + int(numbers[value] > high)] for value in kinds}
