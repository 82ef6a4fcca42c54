"""What people are called: names that are written alike everywhere, and that differ from each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ..errors import InputError

MAX_LETTERS = 100
"""Longest name of a person."""
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
CONTROLS, CONTROLS_IN_LINES = re.compile(r"[\x00-\x1f\x7f-\x9f]"), re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Unicode's control characters, and those without tab and line break."""


def checked_name(name: str) -> str:
    """`name` as `written`. Raises `InputError` when nothing remains, or it is longer than `MAX_LETTERS`."""
    plain = written(name)
    if not plain or len(plain) > MAX_LETTERS:
        raise InputError(f"name of {len(plain)} characters: a person's name has 1 to {MAX_LETTERS}")
    return plain


def written(name: str) -> str:
    """`name` with its letters composed (Unicode NFC), single spaces, none around it, and U+FFFD for what is no text.

    So the name of a file on a Mac, which keeps letters and accents apart, is the one that somebody types.
    """
    return readable(" ".join(unicodedata.normalize("NFC", _text(name)).split()))


def readable(text: str) -> str:
    """`text`, a path for instance, with U+FFFD for what is no text: it can be written, saved and shown in a line.

    That is bytes that are no UTF-8 and control characters: a file's name may hold those with which a terminal is told
    to do something.
    """
    return CONTROLS.sub(UNREADABLE, _text(text))


def readable_lines(text: str) -> str:
    """`readable` for text of several lines, with tabs perhaps."""
    return CONTROLS_IN_LINES.sub(UNREADABLE, _text(text))


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def shortened(name: str) -> str:
    """`written`, and cut to `MAX_LETTERS`: for names that nobody chose as a person's, those of files."""
    return written(name)[:MAX_LETTERS].rstrip()


def refuse_doubles(names: Sequence[str]) -> None:
    """Raises `InputError` when two of the names are the same."""
    plain = [written(name) for name in names]
    if doubles := [name for index, name in enumerate(plain) if name in plain[:index]]:
        raise InputError(f"name {doubles[0]!r} is given twice: people need different names")


def free_names(taken: Iterable[str], count: int, after: int = 0) -> list[str]:
    """`count` names person 1, person 2 ... that are not `taken`; counted from the number behind `after`."""
    used, names, number = set(taken), list[str](), after
    while len(names) < count:
        number += 1
        if f"person {number}" not in used:
            names.append(f"person {number}")
    return names


def told_apart(names: Sequence[str]) -> list[str]:
    """The names in their order, those that occurred before with a number: Ada, Ada 2, Ada 3."""
    given = [shortened(name) for name in names]
    apart: list[str] = []
    for name in given:
        number, free = 1, name
        while free in apart or (number > 1 and free in given):
            number += 1
            free = f"{name[: MAX_LETTERS - 1 - len(str(number))].rstrip()} {number}"
        apart.append(free)
    return apart
