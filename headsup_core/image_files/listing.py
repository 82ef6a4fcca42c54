"""The pictures of a folder, and what in it is left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .file_kinds import suffixes_read, why_left_out

log = logging.getLogger(__name__)

NAMED = 20
"""At most so many of the files that are left out are named one by one."""
# What lies beside pictures and is none: nobody wonders why it was not restored.
_BESIDE = frozenset({
    ".txt", ".json", ".jsonl", ".xmp", ".xml", ".html", ".htm", ".md", ".csv", ".yaml", ".yml", ".ini", ".db",
    ".log", ".py", ".safetensors", ".caption", ".npz", ".npy", ".toml", ".tmp", ".tem",
})  # fmt: skip


def picture_files(sources: Sequence[Path]) -> list[Path]:
    """`sources` with every folder replaced by its pictures, sorted, one level deep.

    Raises:
        InputError: a folder without pictures, or one that cannot be read.
    """
    files: list[Path] = []
    for source in sources:
        files += pictures_in(source) if os.path.isdir(source) else [source]
    return files


def pictures_in(
    folder: Path, *, recursive: bool = False, without: Path | None = None, expected: Sequence[str] = ()
) -> list[Path]:
    """The pictures in a folder by their suffix, sorted; hidden files and folders are left out.

    Files that may be pictures, but cannot be read, are named in the log with what they are.

    Args:
        recursive: in the folders below it, too, but for those that are only linked to, which the log names when they
            lie elsewhere.
        without: a folder that is not searched.
        expected: suffixes of other files that the caller reads itself: they are not named in the log.

    Raises:
        InputError: there are none, or a folder cannot be read.
    """
    excluded = None if without is None else os.path.realpath(without)
    suffixes = suffixes_read()
    found: list[Path] = []
    others: list[Path] = []
    linked: list[str] = []
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        below = [name for name in folders if not name.startswith(".")]
        below = [name for name in below if os.path.realpath(Path(here, name)) != excluded]
        folders[:] = below if recursive else []
        linked += [str(Path(here, name)) for name in folders if _leads_out(Path(here, name), folder)]
        for path in sorted(Path(here, name) for name in names if not name.startswith(".")):
            (found if path.suffix.lower() in suffixes else others).append(path)
    left_out = [path for path in others if path.suffix.lower() not in (*_BESIDE, *expected)]
    if left_out:
        log.warning("%s", _left_out(folder, left_out))
    if linked:
        log.warning("links to other folders are not followed, give those by name: %s", ", ".join(sorted(linked)))
    if not found:
        deeper = "" if recursive else " itself"
        hint = f"; {_left_out(folder, left_out)}" if left_out else ""
        raise InputError(f"folder {folder}{deeper} holds no pictures ({', '.join(suffixes)}){hint}")
    return sorted(found)


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether `path` is a link to what does not lie in `folder`."""
    return path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _left_out(folder: Path, paths: Sequence[Path]) -> str:
    named = [f"{path.relative_to(folder)} ({why_left_out(path) or 'no picture by its suffix'})" for path in paths]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    which = "file of" if len(named) == 1 else "files of"
    return f"{len(named)} {which} folder {folder} left out: {', '.join(named[:NAMED])}{more}"


def _unreadable(error: OSError) -> None:
    raise InputError(f"folder {error.filename} cannot be read ({error.strerror}): allow it, or move it away") from error
