"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import time
import uuid
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

STALE_SECONDS = 86_400
"""A temporary file of another machine is left over when nobody has written to it for this long."""

MISSING = "does not exist"

LONGEST = 200
"""Bytes of a file's name before its suffix; file systems allow 255 with it."""
_TEMPORARY = re.compile(r"\.headsup-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{32}\.tmp")


def why_absent(path: Path) -> str:
    """What to say of a `path` that `os.path.exists` denies: it does not exist, or lies where this user may not look."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, ValueError) as error:  # a closed folder, a link to itself, a name that is none
        return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
    return MISSING


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Generator[Path]:
    """A temporary path beside `path`, for the block to write: renamed to `path` at its end, removed when it fails.

    The content is on the disk before the name is, so that a power cut leaves no empty file either.

    Args:
        replace: a file of that name.

    Raises:
        FileExistsError: there is one, and it is not to be replaced; also when another process has just made it.
    """
    temporary = path.with_name(f".headsup-{_machine()}-{os.getpid()}-{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        _flush(temporary)
        if replace:
            os.replace(temporary, path)
        else:
            _name_anew(temporary, path)
    finally:
        if os.path.lexists(temporary):  # after the rename there is nothing to remove
            temporary.unlink()


def _name_anew(temporary: Path, path: Path) -> None:
    """Rename, unless there is a file of that name; two processes cannot both succeed."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links (FAT, some networks'): the empty file holds the name
        path.open("xb").close()
        os.replace(temporary, path)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files of `whole_file` in `folder` whose process was killed; returns what was removed.

    The name says machine and process. What a running process of this machine writes, and what another machine wrote
    to within `STALE_SECONDS`, stays, and so does every other file. Only to be called while this process writes none.
    """
    removed: list[Path] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        name = _TEMPORARY.fullmatch(path.name)
        if name is None or path.is_symlink() or not path.is_file():
            continue
        machine, process = name[1], int(name[2])
        if machine == _machine():
            over = process == os.getpid() or not psutil.pid_exists(process)
        else:
            over = time.time() - path.stat().st_mtime > STALE_SECONDS
        if over:
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def fitting_name(name: str) -> str:
    """A name that leaves room for a suffix and a number; a cut one is told from others by what was cut."""
    content = os.fsencode(name)
    if len(content) <= LONGEST:
        return name
    kept = content[: LONGEST - 9].decode("utf-8", "ignore")
    return f"{kept}~{zlib.crc32(content):08x}"


def is_temporary(name: str) -> bool:
    """Whether a file of that name is one that `whole_file` has not ended."""
    return _TEMPORARY.fullmatch(name) is not None


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)  # Windows flushes only what is open for writing
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
