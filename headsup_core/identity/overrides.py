"""Who is who because somebody said so: names by the index of a face."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from ..errors import InputError
from ..faces.face import NOBODY
from ..faces.faces import Faces
from .names import written


def with_overrides(faces: Faces, text: str, names: Sequence[str], *, missing: bool = False) -> Faces:
    """`faces` with names that somebody chose: "0=Ada, 2=nobody"; counted in each picture that has such a face.

    Args:
        text: index=name, separated by commas, semicolons or line breaks, which a name may hold, too ("0=Doe, Jane");
            "nobody" forbids a match. Empty: no change.
        names: of the people who are known.
        missing: whether an index that no picture has is left out.

    Raises:
        InputError: an entry that is not index=name, a name that nobody has, an index or a name given twice, or an index
            that no picture has.
    """
    chosen, most = _parse_overrides(text, names), _most_faces(faces)
    if not missing and (wrong := [index for index in chosen if index >= most]):
        has = f"no picture has more than {most} faces, counted from 0" if most else "there are no faces"
        raise InputError(f"override {wrong[0]}={chosen[wrong[0]] or 'nobody'}: {has}")
    return replace(
        faces,
        pictures=tuple(
            tuple(
                replace(face, identity=chosen[index], guessed=False) if index in chosen else face
                for index, face in enumerate(found)
            )
            for found in faces
        ),
    )


def check_overrides(text: str, names: Sequence[str]) -> None:
    """Raise `InputError` for what is wrong with `text` whatever faces there are; arguments as of `with_overrides`."""
    _parse_overrides(text, names)


def unmet_overrides(faces: Faces, text: str, names: Sequence[str]) -> list[str]:
    """What to say of the entries of `text` whose face no picture has; arguments and errors as of `with_overrides`."""
    chosen, most = _parse_overrides(text, names), _most_faces(faces)
    return [
        f"face {index} was to be {name or 'nobody'}, but {most} {'face was' if most == 1 else 'faces were'} found, "
        "counted from 0"
        for index, name in chosen.items()
        if index >= most
    ]


def _most_faces(faces: Faces) -> int:
    """How many faces the picture with the most has; 0 without pictures."""
    return max((len(found) for found in faces), default=0)


def _parse_overrides(text: str, names: Sequence[str]) -> dict[int, str]:
    chosen: dict[int, str] = {}
    for index, name in _entries(text, names):
        who = NOBODY if name not in names else name
        if index in chosen or (who != NOBODY and who in chosen.values()):
            raise InputError(f"override '{index}={name}': a face or a person is named twice")
        chosen[index] = who
    return chosen


def _entries(text: str, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Index and name of each entry; a name that somebody has is taken whole, whatever separators it holds."""
    known = {"nobody": "nobody", **{written(name): name for name in names}}
    longest_first = sorted(known, key=len, reverse=True)
    rest = unicodedata.normalize("NFC", text)
    while rest := rest.lstrip(",; \t\r\n"):
        entry = re.split(r"[,;\n]", rest, maxsplit=1)[0].strip()
        begun = re.match(r"([0-9]{1,6})\s*=\s*(?=[^,;\s])", rest)
        if begun is None:
            raise InputError(f"override {entry!r}: write index=name, as 0=Ada, 2=nobody")
        rest = rest[begun.end() :]
        for plain in longest_first:
            found = re.match(r"\s+".join(map(re.escape, plain.split())) + r"(?=\s*(?:[,;\n]|$))", rest)
            if found is not None:
                yield int(begun[1]), known[plain]
                rest = rest[found.end() :]
                break
        else:
            name = entry.partition("=")[2].strip()
            meant = _meant(name, names)
            known_names = f"did you mean {meant}? Known: " if meant else "known: "
            raise InputError(
                f"override {entry!r}: nobody is called {name!r}; {known_names}{', '.join(names) or 'nobody'}"
            )


def _meant(name: str, names: Sequence[str]) -> str | None:
    """The one of the people whose name is written almost so, in whatever case."""
    folded = {known.casefold(): known for known in reversed(names)}
    close = get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None
