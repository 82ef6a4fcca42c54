"""Who is who in a picture: people assigned to faces, each at most once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..faces.face import NOBODY, Face
from ..faces.faces import Faces
from .identity import Identity
from .names import written
from .similarity import calibration_of


@dataclass(frozen=True)
class Assignment:
    """What was decided of one face.

    Attributes:
        face: its index in the picture.
        identity: name of the person, or None.
        score: calibrated similarity to that person; None without a person, or when they could not be compared.
        others: name -> calibrated similarity of the other people.
        given: whether somebody said so beforehand, and not the similarities.
    """

    face: int
    identity: str | None
    score: float | None = None
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    given: bool = False

    def __str__(self) -> str:
        who = self.identity or "nobody"
        score = "" if self.score is None else f" (score {self.score:.2f} of 1)"
        best = max(self.others, key=lambda name: self.others[name], default=None)
        other = "" if best is None else f", {'next' if self.identity else 'most like'} {best} {self.others[best]:.2f}"
        return f"face {self.face}: {who}{score}{' as given' * self.given}{other}"


def default_threshold(embedder_id: str) -> float:
    """Least calibrated similarity for which a face is taken for a person: where "different people" ends.

    Lower ones were measured on degraded faces (docs/faces.md): at 0.3 up to 7 % more faces are recognised, and three
    times as many strangers are taken for somebody.
    """
    return calibration_of(embedder_id).reject


def match(scores: torch.Tensor, threshold: float) -> list[int | None]:
    """For each face the person it is assigned to, by optimal one-to-one assignment.

    The pairs maximise the sum of (score - threshold) over those that reach the threshold, so that a pair below it never
    takes a face or a person away from one above.

    Args:
        scores: `[faces, people]`, calibrated similarities; -inf where a pair is excluded.
    """
    from scipy.optimize import linear_sum_assignment

    gains: Any = (scores.double() - threshold).clamp(min=0).numpy()
    rows, columns = linear_sum_assignment(gains, maximize=True)
    found: list[int | None] = [None] * len(scores)
    for row, column in zip(np.asarray(rows).tolist(), np.asarray(columns).tolist(), strict=True):
        if float(scores[row, column]) >= threshold:
            found[row] = column
    return found


def similarities(views: Sequence[Sequence[Face]], people: Sequence[torch.Tensor], embedder_id: str) -> torch.Tensor:
    """Calibrated similarity `[faces, people]`; the best view of a face counts for each pair.

    Args:
        views: the same faces, embedded in one or more copies of the picture.
        people: unit vectors `[D]` of the same recogniser.
    """
    calibration = calibration_of(embedder_id)
    known = torch.stack(list(people)).double()
    best: torch.Tensor | None = None
    for faces in views:
        vectors = [face.embedding for face in faces if face.embedding is not None]
        cosines = torch.stack(vectors).double() @ known.T
        best = cosines if best is None else torch.maximum(best, cosines)
    if best is None:
        raise ValueError("no view of the faces was given")
    return (best - calibration.different) / (calibration.same - calibration.different)


def assign(
    image: torch.Tensor,
    faces: Faces,
    identities: Sequence[Identity],
    analyzer: FaceAnalyzer,
    threshold: float | None = None,
    enlarged: torch.Tensor | None = None,
) -> tuple[Faces, tuple[tuple[Assignment, ...], ...]]:
    """Say of each face of a batch who it is; within a picture nobody is two faces.

    A face that has an `identity` already keeps it, be it a name or `NOBODY`, and no other face gets that name.

    Args:
        image: `[B,3,H,W]` in 0..1.
        faces: of these pictures, at any size of them.
        threshold: least calibrated similarity; None: `default_threshold`.
        enlarged: `[B,3,sH,sW]`, the plain enlargement, in which the faces are embedded as well: of a small degraded
            face sometimes the one, sometimes the other embedding is better.

    Returns:
        The faces with names and scores, at the size of `image`, and for each picture what was decided, face by face.

    Raises:
        InputError: two people of one name, a person without an embedding of this analyzer or photos, or faces of
            another batch.
    """
    faces.check_pictures(image)
    names = [identity.name for identity in identities]
    if doubles := [name for index, name in enumerate(names) if name in names[:index]]:
        raise InputError(f"there are two people called {doubles[0]!r}: give them different names")
    here = faces.scaled_to(image.shape[-2], image.shape[-1])
    if not names or not here.count:
        decided = tuple(tuple(_given(index, face) for index, face in enumerate(one)) for one in here)
        return _named(here, decided), decided
    people = [identity.embedding_for(analyzer) for identity in identities]
    views = [analyzer.embed(image, here)]
    if enlarged is not None and enlarged.shape[-1] > image.shape[-1]:
        views.append(analyzer.embed(enlarged, here))
    least = default_threshold(analyzer.embedder_id) if threshold is None else threshold
    decided = tuple(
        _decide(found, similarities([view[index] for view in views], people, analyzer.embedder_id), names, least)
        if found
        else ()
        for index, found in enumerate(here)
    )
    return _named(views[0], decided), decided


def _decide(
    faces: Sequence[Face], scores: torch.Tensor, names: Sequence[str], threshold: float
) -> tuple[Assignment, ...]:
    _refuse_doubles(faces)
    free = scores.clone()
    for index, face in enumerate(faces):
        if face.identity is not None:
            free[index] = -torch.inf
            if face.identity in names:
                free[:, names.index(face.identity)] = -torch.inf
    matched = match(free, threshold)
    decided: list[Assignment] = []
    for index, (face, who) in enumerate(zip(faces, matched, strict=True)):
        name = (face.identity or None) if who is None else names[who]
        known = dict(zip(names, scores[index].tolist(), strict=True))
        score = known.pop(name, None) if name else None
        decided.append(Assignment(index, name, score, known, given=face.identity is not None))
    return tuple(decided)


def _refuse_doubles(faces: Sequence[Face]) -> None:
    given = [face.identity for face in faces if face.identity]
    if doubles := [name for index, name in enumerate(given) if name in given[:index]]:
        raise InputError(f"two faces of one picture are said to be {doubles[0]!r}: a person can be one of them only")


def _given(index: int, face: Face) -> Assignment:
    """Without anybody to compare with."""
    return Assignment(index, face.identity or None, given=face.identity is not None)


def _named(faces: Faces, decided: Sequence[Sequence[Assignment]]) -> Faces:
    """`faces` with names and scores; `NOBODY` stays, so that it holds where the faces go next."""

    def named(face: Face, one: Assignment) -> Face:
        name = NOBODY if one.given and one.identity is None else one.identity
        return replace(face, identity=name, identity_score=one.score)

    pictures = tuple(
        tuple(named(face, one) for face, one in zip(found, ones, strict=True))
        for found, ones in zip(faces, decided, strict=True)
    )
    return replace(faces, pictures=pictures)


def with_overrides(faces: Faces, text: str, names: Sequence[str]) -> Faces:
    """`faces` with names that somebody chose: "0=Ada, 2=nobody"; counted in each picture that has such a face.

    Args:
        text: index=name, separated by commas, semicolons or line breaks, which a name may hold, too ("0=Doe, Jane");
            "nobody" forbids a match. Empty: no change.
        names: of the people who are known.

    Raises:
        InputError: an entry that is not index=name, a name that nobody has, an index or a name given twice, or an index
            that no picture has.
    """
    chosen = _parse_overrides(text, names)
    most = max((len(found) for found in faces), default=0)
    if wrong := [index for index in chosen if index >= most]:
        has = f"no picture has more than {most} faces, counted from 0" if most else "there are no faces"
        raise InputError(f"override {wrong[0]}={chosen[wrong[0]] or 'nobody'}: {has}")
    return replace(
        faces,
        pictures=tuple(
            tuple(replace(face, identity=chosen.get(index, face.identity)) for index, face in enumerate(found))
            for found in faces
        ),
    )


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
            raise InputError(f"override {entry!r}: nobody is called {name!r}; known: {', '.join(names) or 'nobody'}")
