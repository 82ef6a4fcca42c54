"""The text that belongs to a picture: `photo.txt` beside `photo.jpg`, as other trainers have it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from ..whole_files import whole_file

SUFFIX = ".txt"
LARGEST = 65_536
"""Bytes; a longer file beside a picture is no caption."""


def sidecar_of(picture: Path, ending: str = "") -> Path:
    """`photo.txt` of `photo.jpg`; with an `ending` such as ".lq", `photo.lq.txt`."""
    return picture.with_name(picture.stem + ending + SUFFIX)


def read_sidecar(picture: Path, ending: str = "") -> str | None:
    """The text beside `picture`, its lines joined by blanks; None when there is none.

    Raises:
        InputError: it is there, but no text in UTF-8, or larger than `LARGEST`.
    """
    path = sidecar_of(picture, ending)
    try:
        if not os.path.isfile(path):
            return None
        size = path.stat().st_size
        if size > LARGEST:
            raise InputError(f"{path} has {size} bytes, a caption at most {LARGEST}: rename it, or shorten it")
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8, or rename it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def write_sidecar(picture: Path, text: str, *, replace: bool = False) -> Path:
    """Write the text beside `picture`, whole or not at all.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        InputError: it cannot be written.
    """
    path = sidecar_of(picture)
    try:
        with whole_file(path, replace=replace) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except FileExistsError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error
    return path
