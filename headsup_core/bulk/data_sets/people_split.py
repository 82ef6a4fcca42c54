"""Who is who in an index, and people who are kept for testing, each face with one best reference."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ...training.data.face_index import FaceIndex, Pair


def split_people(index: FaceIndex, share: float) -> tuple[FaceIndex, FaceIndex]:
    """(training, test): about `share` of the people who are in several photos go to the test with all their photos.

    Who goes is decided by where their first photo lies, so that an index that has grown gives the same people. A photo
    that shows people of both goes to neither.
    """
    people = index.people()
    pictures_of: dict[int, list[int]] = {}
    for picture, here in enumerate(people):
        for person in set(here):
            pictures_of.setdefault(person, []).append(picture)
    test = {
        person
        for person, pictures in pictures_of.items()
        if len(pictures) > 1 and _drawn(index.pictures[pictures[0]].file.as_posix(), share)
    }
    tested = [picture for picture, here in enumerate(people) if here and set(here) <= test]
    trained = [picture for picture, here in enumerate(people) if not set(here) & test]
    return only(index, trained), only(index, tested)


def best_references(index: FaceIndex) -> tuple[Pair, ...]:
    """For each face that has any the most similar one elsewhere, as (picture, face, picture, face, similarity)."""
    best: dict[tuple[int, int], Pair] = {}
    for a, face, b, other, alike in index.pairs:
        for pair in ((a, face, b, other, alike), (b, other, a, face, alike)):
            place = pair[0], pair[1]
            if place not in best or pair[4] > best[place][4]:
                best[place] = pair
    return tuple(best[place] for place in sorted(best))


def only(index: FaceIndex, kept: list[int]) -> FaceIndex:
    """The index with these of its pictures."""
    place = {old: new for new, old in enumerate(kept)}
    pairs = [(place[a], f, place[b], g, alike) for a, f, b, g, alike in index.pairs if a in place and b in place]
    return replace(index, pictures=tuple(index.pictures[old] for old in kept), pairs=tuple(pairs))


def _drawn(name: str, share: float) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32 < share
