"""Who is who in a picture: people assigned to faces, each at most once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..faces.face import NOBODY, Face
from ..faces.faces import Faces
from .equal_quality.fair_comparison import FairComparison
from .equal_quality.photo_score import EYES, WEIGHTS, too_close
from .identity import Identity
from .similarity import calibration_of

COMPARED = 4
"""People with whom a face is compared at equal quality: each costs a look of the recogniser."""


@dataclass(frozen=True)
class Assignment:
    """What was decided of one face.

    Attributes:
        face: its index in the picture.
        identity: name of the person, or None.
        score: calibrated similarity to that person; None without a person, or when they could not be compared.
        others: name -> calibrated similarity of the other people.
        given: whether somebody said so beforehand, and not the similarities.
        only: whether there is one face and one person, which is as good as said.
        torn: names of the two people of whom it could be either, and who is therefore neither; empty: no such two.
    """

    face: int
    identity: str | None
    score: float | None = None
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    given: bool = False
    only: bool = False
    torn: tuple[str, ...] = ()

    @property
    def guessed(self) -> bool:
        """Whether the person was found by similarity."""
        return self.identity is not None and not self.given and not self.only

    def __str__(self) -> str:
        if self.torn:
            each = " or ".join(f"{name} {_shown(self.others[name])}" for name in self.torn)
            return f"face {self.face}: too close to tell: {each}"
        who = self.identity or "nobody"
        score = "" if self.score is None else f" (score {_shown(self.score)}, 1 = two good photos)"
        best = max(self.others, key=lambda name: self.others[name], default=None)
        how = " as given" if self.given else ", the only face and the only person" if self.only else ""
        beside = "next" if self.identity else "most like"
        other = "" if best is None else f", {beside} {best} {_shown(self.others[best])}"
        return f"face {self.face}: {who}{score}{how}{other}"


def _shown(score: float) -> str:
    """Scores of a good pair scatter around 1, of strangers around 0: shown from 0 to 1."""
    return f"{min(1.0, max(0.0, score)):.2f}"


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

    A face that has an `identity` already keeps it, be it a name or `NOBODY`, and no other face gets that name. Where
    there is one face and one person, the face is that person's, however unlike: it is told, not guessed.

    Small or noisy faces are compared with the people's photos at equal quality (`FairComparison`), when the recogniser
    was measured so (`WEIGHTS`): each with the `COMPARED` people who are most alike at first sight. A face for which the
    photos of two people then speak about as much is neither's, unless the other one is found in another face.

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
    by_picture: list[tuple[Assignment, ...]] = []
    for index, found in enumerate(here):
        if not found:
            by_picture.append(())
            continue
        scores = similarities([view[index] for view in views], people, analyzer.embedder_id)
        seen = image if enlarged is None else enlarged
        pictures = image[index : index + 1], seen[index : index + 1]
        scores, fair = _fair_scores(scores, found, pictures, identities, analyzer)
        by_picture.append(_undecided(_decide(found, scores, names, least), fair, names))
    return _named(views[0], by_picture), tuple(by_picture)


def _fair_scores(
    scores: torch.Tensor,
    faces: Sequence[Face],
    pictures: tuple[torch.Tensor, torch.Tensor],
    identities: Sequence[Identity],
    analyzer: FaceAnalyzer,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`scores` `[faces, people]` with those at equal quality where they are to be had, and where that is, boolean.

    Args:
        pictures: the input and its enlargement, `[1,3,h,w]`.
    """
    fair, where = scores.clone(), torch.zeros_like(scores, dtype=torch.bool)
    if analyzer.embedder_id not in WEIGHTS:
        return fair, where
    for row, face in enumerate(faces):
        if face.eye_distance >= EYES[1]:
            continue
        comparison = FairComparison(*pictures, face, analyzer)
        for column in scores[row].argsort(descending=True).tolist()[:COMPARED]:
            crops = identities[column].crops
            score = comparison.score(crops[:1]) if len(crops) else None
            if score is not None:
                fair[row, column], where[row, column] = score, True
    return fair, where


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
    only = len(faces) == len(names) == 1 and faces[0].identity is None
    matched = [0] if only else match(free, threshold)
    decided: list[Assignment] = []
    for index, (face, who) in enumerate(zip(faces, matched, strict=True)):
        name = (face.identity or None) if who is None else names[who]
        known = dict(zip(names, scores[index].tolist(), strict=True))
        score = known.pop(name, None) if name else None
        decided.append(Assignment(index, name, score, known, given=face.identity is not None, only=only))
    return tuple(decided)


def _undecided(
    decided: Sequence[Assignment], fair: torch.Tensor, names: Sequence[str]
) -> tuple[Assignment, ...]:
    """`decided` without the guesses between two people whose photos speak for a face about as much.

    Args:
        fair: `[faces, people]`, boolean: where scores are those of photos at equal quality.
    """
    taken = {one.identity for one in decided}

    def looked_at(one: Assignment) -> Assignment:
        name, row = one.identity, fair[one.face].tolist()
        if name is None or one.score is None or not one.guessed or not row[names.index(name)]:
            return one
        compared = {each for each, known in zip(names, row, strict=True) if known}
        free = {other: score for other, score in one.others.items() if other in compared - taken}
        rival = max(free, key=lambda other: free[other], default=None)
        if rival is None or not too_close(one.score, free[rival]):
            return one
        others = {**one.others, name: one.score}
        return replace(one, identity=None, score=None, others=others, torn=(name, rival))

    return tuple(looked_at(one) for one in decided)


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
        # what an earlier assignment guessed stays a guess
        guessed = one.guessed or (one.given and face.guessed)
        return replace(face, identity=name, identity_score=one.score, guessed=guessed)

    pictures = tuple(
        tuple(named(face, one) for face, one in zip(found, ones, strict=True))
        for found, ones in zip(faces, decided, strict=True)
    )
    return replace(faces, pictures=pictures)
