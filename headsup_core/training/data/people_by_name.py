"""Who is in a folder of pictures, by their file names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...image_files import picture_files

log = logging.getLogger(__name__)


def list_pictures(folder: Path) -> list[Path]:
    """Sorted pictures of a folder, one level deep; the log names the folders in it, which are not read.

    Whoever is in a picture is told by its name, which need not hold across folders.

    Raises:
        InputError: it is none, or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: a folder of pictures is needed")
    files = picture_files([folder])
    if inner := sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        log.warning(
            "%s: of its %d folders (%s, …) none is read: name each, or make one index of all (dataset build)",
            folder,
            len(inner),
            inner[0],
        )
    return files


def split_by_person(files: Sequence[Path], hold_out: int) -> tuple[list[Path], list[Path]]:
    """(training, held out): every `hold_out`-th person is held out with all photos."""
    people = sorted({person_of(path) for path in files})
    held = set(people[::hold_out]) if hold_out else set[str]()
    return [f for f in files if person_of(f) not in held], [f for f in files if person_of(f) in held]


def person_of(path: Path) -> str:
    """Who is in the picture: the file name up to the first underscore."""
    return path.stem.split("_")[0]
