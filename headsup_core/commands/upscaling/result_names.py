"""Names of results: of each source its own, and never that of a file which is not this source's earlier result."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from ...whole_files import fitting_name


def name_key(path: Path) -> str:
    """The same for names that some disk does not tell apart: by case, or by how an accent is written."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def choose_name(
    folder: Path, source: Path, ending: str, taken: Callable[[Path], bool], is_own: Callable[[Path], bool]
) -> Path:
    """The file in `folder` for the result of `source`: its earlier result when there is one, else a free name.

    Free are, in this order, the name with the new suffix (a.png), the whole name with it (a.jpg.png) and numbers
    (a_2.png).

    Args:
        ending: of the result's name, as `.png` or `_plan.png`.
        taken: whether a name belongs to another source of this run.
        is_own: whether a file that is there is an earlier result of this source.
    """
    free: Path | None = None
    for number, name in enumerate(_names(source, ending)):
        path = folder / name
        if taken(path):
            continue
        if os.path.lexists(path):
            if is_own(path):
                return path
            continue
        free = free or path
        if number >= 2:
            break
    assert free is not None  # noqa: S101 - there is no end of numbers
    return free


def _names(source: Path, ending: str) -> Iterator[str]:
    stem, name = fitting_name(source.stem), fitting_name(source.name)
    yield f"{stem}{ending}"
    yield f"{name}{ending}"
    for number in itertools.count(2):
        yield f"{stem}_{number}{ending}"
