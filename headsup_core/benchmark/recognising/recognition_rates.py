"""How often the people of degraded portraits are recognised among several."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...faces.faces import Faces
from ...identity.assignment import default_threshold, match, similarities
from ...imaging.resizing import resize
from ...training.data.people_by_name import person_of
from ..comparing.cases import CleanFolder
from .face_detection import CONDITIONS

DEGRADATIONS = ("realesrgan", "x8")
OFFERED = (2, 5, 17)
DRAWS = 400
"""Random groups of each size."""
VIEWS = {"input": (0,), "enlargement": (1,), "both": (0, 1)}


@dataclass
class Tally:
    """Faces that were given their own person, nobody, or another person."""

    right: int = 0
    nobody: int = 0
    wrong: int = 0

    def add(self, found: int | None, true: int | None) -> None:
        """Count one face; `true` is None for a stranger."""
        if found == true:
            self.right += 1
        elif found is None:
            self.nobody += 1
        else:
            self.wrong += 1

    def __str__(self) -> str:
        total = max(1, self.right + self.nobody + self.wrong)
        return " / ".join(f"{100 * part / total:.0f}" for part in (self.right, self.nobody, self.wrong))


@dataclass
class Embedded:
    """One person: the reference, and by degradation the face in the input and in its enlargement; () when not found."""

    reference: torch.Tensor
    views: dict[str, tuple[Face, ...]] = field(default_factory=dict[str, tuple[Face, ...]])


def assignment_table(people: CleanFolder, analyzers: Sequence[FaceAnalyzer]) -> str:
    """Markdown; percent of right / nobody / wrong.

    Args:
        people: two photos of each person: the first is degraded, the last, clean, is the reference.
    """
    header = "analyzer | degradation | embedded in | n | 1 face, n people | 1 stranger: nobody | n faces, n people"
    lines = [f"| {header} |", "|---" * 7 + "|"]
    for analyzer in analyzers:
        least = default_threshold(analyzer.embedder_id)
        known = _embed_all(people, analyzer)
        for condition, (name, views) in product(DEGRADATIONS, VIEWS.items()):
            scores = _scores(known, condition, views, analyzer.embedder_id)
            for count in (count for count in OFFERED if count <= len(known)):
                alone, stranger, group = tallies(scores, count, least)
                strange = "-" if count == len(known) else f"{100 * stranger.right / DRAWS:.0f} %"
                row = f"{analyzer.name} | {condition} | {name} | {count} | {alone} | {strange} | {group}"
                lines.append(f"| {row} |")
    return "\n".join(lines)


def tallies(scores: torch.Tensor, count: int, threshold: float) -> tuple[Tally, Tally, Tally]:
    """Who is recognised in random groups of `count` people: one alone, somebody else, and all in one picture.

    Args:
        scores: `[people, people]`, faces against references.
    """
    everyone = range(len(scores))
    chance = random.Random(0)  # noqa: S311 - draws groups, keeps no secret
    alone, stranger, together = Tally(), Tally(), Tally()
    for _ in range(DRAWS):
        group = chance.sample(everyone, count)
        one = chance.randrange(count)
        alone.add(match(scores[[group[one]]][:, group], threshold)[0], one)
        others = [person for person in everyone if person not in group]
        if others:
            stranger.add(match(scores[[chance.choice(others)]][:, group], threshold)[0], None)
        for face, found in enumerate(match(scores[group][:, group], threshold)):
            together.add(found, face)
    return alone, stranger, together


def _scores(known: Sequence[Embedded], condition: str, views: Sequence[int], embedder_id: str) -> torch.Tensor:
    """Faces against references; -inf for a face that was not found."""
    references = [one.reference for one in known]
    rows: list[torch.Tensor] = []
    for one in known:
        seen = one.views[condition]
        if seen:
            rows.append(similarities([[seen[view]] for view in views], references, embedder_id)[0])
        else:
            rows.append(torch.full((len(known),), -torch.inf, dtype=torch.float64))
    return torch.stack(rows)


def _embed_all(people: CleanFolder, analyzer: FaceAnalyzer) -> list[Embedded]:
    photos: dict[str, list[Path]] = {}
    for path in people.files():
        photos.setdefault(person_of(path), []).append(path)
    pairs = [files for files in photos.values() if len(files) > 1]
    if len(pairs) < 2:
        raise InputError(f"{len(pairs)} people with two photos: at least two are needed, photos called PERSON_anything")
    known: list[Embedded] = []
    for files in tqdm(pairs, desc=f"{analyzer.name} embeds", disable=None, leave=False):
        clean = people.load(files[-1]).truth
        found = _largest(analyzer.detect(clean))
        if not found.count:
            continue
        reference = analyzer.embed(clean, found)[0][0].embedding
        assert reference is not None  # noqa: S101 - narrows the type: the face comes out of embed()
        one = Embedded(reference)
        for condition in DEGRADATIONS:
            case = replace(people, degradation=condition).load(files[0])
            faces = _largest(analyzer.detect(case.bad, CONDITIONS[condition]))
            pictures = (case.bad, resize(case.bad, case.truth.shape[-2], case.truth.shape[-1]))
            one.views[condition] = tuple(face for image in pictures for face in analyzer.embed(image, faces)[0])
        known.append(one)
    return known


def _largest(faces: Faces) -> Faces:
    return replace(faces, pictures=(faces[0][:1],))
