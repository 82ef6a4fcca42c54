"""Names of results: of each source its own, and never that of a file which is not this source's earlier result."""

from __future__ import annotations

import itertools
import os
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST = 200
"""Bytes of a result's name before its suffix; file systems allow 255 with it."""


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
    stem, name = _shortened(source.stem), _shortened(source.name)
    yield f"{stem}{ending}"
    yield f"{name}{ending}"
    for number in itertools.count(2):
        yield f"{stem}_{number}{ending}"


def _shortened(name: str) -> str:
    """A name that leaves room for a suffix and a number; a cut one is told from others by what was cut."""
    content = os.fsencode(name)
    if len(content) <= LONGEST:
        return name
    kept = content[: LONGEST - 9].decode("utf-8", "ignore")
    return f"{kept}~{zlib.crc32(content):08x}"
