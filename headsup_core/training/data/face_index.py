"""An index of pictures, the faces in them and who is the same person: what `dataset build` writes.

JSON: `format`, `format_version`, `embedder`, `threshold`, `scale` ("calibrated" or "cosine"); `pictures`, each with
`file` (relative to the index), `width`, `height` and `faces` (box, landmarks, score, embedding as base64 of fp16);
`pairs`, each [picture, face, picture, face, similarity].
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...errors import InputError
from ...faces.face import Box, Face
from ...identity.similarity import calibration_of
from ...whole_files import whole_file

SUFFIX = ".json"
FORMAT = "headsup-faces"
FORMAT_VERSION = 1
Scale = Literal["calibrated", "cosine"]
THRESHOLDS: dict[Scale, float] = {"calibrated": 0.8, "cosine": 0.65}
"""Least similarity of a pair where none is given. The paper's is a cosine, of CVLFace. With dlib 354 of 585 pairs at
0.65 of the calibrated scale were of two people, and 3 of 195 at 0.8 (docs/data_sets.md)."""
Pair = tuple[int, int, int, int, float]
"""Picture, face, picture, face, similarity."""


@dataclass(frozen=True, eq=False)
class IndexedPicture:
    """A file, its upright size in pixels, its faces with embeddings."""

    file: Path
    width: int
    height: int
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class FaceIndex:
    """Attributes: see the module.

    `threshold` is the least similarity of a pair, on `scale`.
    """

    pictures: tuple[IndexedPicture, ...]
    pairs: tuple[Pair, ...]
    embedder: str
    threshold: float
    scale: Scale

    def others(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """(picture, face) -> the same person elsewhere."""
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for a, face, b, other, _ in self.pairs:
            found.setdefault((a, face), []).append((b, other))
            found.setdefault((b, other), []).append((a, face))
        return found

    def people(self) -> list[list[int]]:
        """For each picture the numbers of the people in it: faces that pairs connect, however remotely, are one."""
        # here, as in kernels.py
        from scipy.sparse import coo_matrix  # pyright: ignore[reportMissingTypeStubs]
        from scipy.sparse.csgraph import connected_components  # pyright: ignore[reportMissingTypeStubs]

        places = [(index, face) for index, one in enumerate(self.pictures) for face in range(len(one.faces))]
        number = {place: position for position, place in enumerate(places)}
        rows = [number[a, face] for a, face, *_ in self.pairs]
        columns = [number[b, other] for _, _, b, other, _ in self.pairs]
        graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(places), len(places)))
        labels: Any = connected_components(graph, directed=False)[1]
        people: list[list[int]] = [[] for _ in self.pictures]
        for (index, _), label in zip(places, labels, strict=True):
            people[index].append(int(label))
        return people

    def without_every(self, hold_out: int) -> FaceIndex:
        """Without every `hold_out`-th person (in the order of the pictures) and all pictures that show one of them; 0:
        everything."""
        if not hold_out:
            return self
        people = self.people()
        known = list(dict.fromkeys(person for here in people for person in here))
        held = set(known[::hold_out])
        kept = [index for index, here in enumerate(people) if not held & set(here)]
        place = {old: new for new, old in enumerate(kept)}
        pairs = [(place[a], f, place[b], g, alike) for a, f, b, g, alike in self.pairs if a in place and b in place]
        return replace(self, pictures=tuple(self.pictures[index] for index in kept), pairs=tuple(pairs))


def mine_pairs(
    pictures: Sequence[IndexedPicture], embedder: str, threshold: float, scale: Scale, most: int = 20
) -> tuple[Pair, ...]:
    """Faces of different pictures that are the same person.

    HeadsUp (4.1) takes pairs whose similarity is at least 0.65.

    Args:
        embedder: whose calibration turns cosines into similarities on the calibrated scale.
        threshold: least similarity.
        most: partners of each face, the most similar ones.
    """
    places = [(index, face) for index, one in enumerate(pictures) for face in range(len(one.faces))]
    vectors = [face.embedding for one in pictures for face in one.faces if face.embedding is not None]
    if len(vectors) < 2:
        return ()
    every = torch.stack(vectors).double()
    owner = torch.tensor([index for index, _ in places])
    calibration = calibration_of(embedder)
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(every), 512):  # a block at a time: the whole table of 100,000 faces takes 80 GB
        cosines = every[start : start + 512] @ every.T
        alike = (cosines - calibration.different) / (calibration.same - calibration.different)
        alike = cosines if scale == "cosine" else alike
        alike[owner[start : start + 512, None] == owner[None]] = -torch.inf
        best, where = alike.topk(min(most, len(every)), dim=1)
        for row, column in (best >= threshold).nonzero().tolist():
            a, b = sorted((start + row, int(where[row, column])))
            found[a, b] = float(best[row, column])
    return tuple((*places[a], *places[b], round(alike, 4)) for (a, b), alike in sorted(found.items()))


def write_index(path: Path, index: FaceIndex) -> None:
    """Write an index, whole or not at all."""
    start = path.absolute().parent
    record = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "embedder": index.embedder,
        "threshold": index.threshold,
        "scale": index.scale,
        "pictures": [
            {
                "file": Path(os.path.relpath(picture.file.absolute(), start)).as_posix(),
                "width": picture.width,
                "height": picture.height,
                "faces": [_to_json(face) for face in picture.faces],
            }
            for picture in index.pictures
        ],
        "pairs": index.pairs,
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record))


def read_index(path: Path) -> FaceIndex:
    """Read an index. Raises `InputError` when it is missing, damaged, newer than this code, or without pictures."""
    try:
        record: Any = json.loads(path.read_text())
        if record["format"] != FORMAT or record["format_version"] > FORMAT_VERSION:
            raise InputError(
                f"{path} is {record['format']} {record['format_version']}, expected {FORMAT} up to {FORMAT_VERSION}: "
                "write it with `dataset build`"
            )
        pictures = tuple(
            IndexedPicture(
                path.parent / one["file"],
                int(one["width"]),
                int(one["height"]),
                tuple(_from_json(face) for face in one["faces"]),
            )
            for one in record["pictures"]
        )
        pairs = tuple((int(a), int(f), int(b), int(g), float(alike)) for a, f, b, g, alike in record["pairs"])
        for a, face, b, other, _ in pairs:
            if face >= len(pictures[a].faces) or other >= len(pictures[b].faces):
                raise IndexError(f"pair {a}, {face}, {b}, {other}")
        found = FaceIndex(pictures, pairs, str(record["embedder"]), float(record["threshold"]), record["scale"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no index of faces ({error!r}): write it with `dataset build`") from error
    if not pictures:
        raise InputError(f"{path} names no pictures")
    return found


def _to_json(face: Face) -> dict[str, Any]:
    vector = None
    if face.embedding is not None:
        vector = base64.b64encode(face.embedding.numpy().astype("<f2").tobytes()).decode()
    landmarks = [[round(value, 3) for value in point] for point in face.landmarks.tolist()]
    box = [round(value, 2) for value in face.box]
    return {"box": box, "landmarks": landmarks, "score": round(face.score, 4), "embedding": vector}


def _from_json(record: dict[str, Any]) -> Face:
    landmarks = torch.tensor(record["landmarks"], dtype=torch.float32)
    if landmarks.shape != (5, 2):
        raise ValueError(f"landmarks {tuple(landmarks.shape)}, expected (5, 2)")
    x0, y0, x1, y1 = (float(value) for value in record["box"])
    box: Box = (x0, y0, x1, y1)
    vector = None
    if record["embedding"] is not None:
        vector = torch.from_numpy(np.frombuffer(base64.b64decode(record["embedding"]), "<f2").astype(np.float32))
    return Face(box, landmarks, float(record["score"]), vector)
