"""Group photos made of portraits, and what the faces in them cost."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from ...errors import InputError
from ...faces import Face, FaceAnalyzer, Faces, in_order
from ...host import Host
from ...image_files import read_picture
from ...imaging.resizing import resize
from ...restoring.headsup_model import load_model
from ...restoring.pipeline import restore
from ...training.data.people_by_name import list_pictures

Portrait = tuple[torch.Tensor, Face]
SMALLEST_SHARE = 0.6
"""Portraits are between this share of their cell and the whole of it."""


def portraits_of(folder: Path, analyzer: FaceAnalyzer, count: int, side: int = 300) -> list[Portrait]:
    """Up to `count` pictures of a folder, evenly spread, reduced to `side` px, each with its largest face.

    Raises:
        InputError: no face was found in any.
    """
    files = list_pictures(folder)
    chosen = [files[index * len(files) // count] for index in range(count)] if count < len(files) else files
    found: list[Portrait] = []
    for path in chosen:
        picture = read_picture(path).rgb
        factor = side / max(picture.shape[-2:])
        picture = resize(picture, round(picture.shape[-2] * factor), round(picture.shape[-1] * factor))
        faces = analyzer.detect(picture)[0]
        if faces:
            found.append((picture, faces[0]))
    if not found:
        raise InputError(f"no face was found in {len(chosen)} pictures of {folder}: give portraits")
    return found


def group_photo(
    portraits: Sequence[Portrait], people: int, side: int, seed: int = 0, places: int = 0
) -> tuple[torch.Tensor, Faces]:
    """A picture `[1,3,H,W]` in 0..1, `side` px wide and up to a fifth lower, of so many people, and their faces.

    Portraits are used in turn, each at a random size and place within its cell of a grid, over grey.

    Args:
        places: cells of the grid, of which `people` are used; 0: as many as people.
    """
    places = max(places, people)
    random = Random(seed)  # noqa: S311 - not for secrets
    height = round(side * random.uniform(0.8, 1.0))
    columns = math.ceil(math.sqrt(places * side / height))
    rows = math.ceil(places / columns)
    picture = torch.full((1, 3, height, side), 0.5)
    faces: list[Face] = []
    for index in range(people):
        portrait, face = portraits[index % len(portraits)]
        cell_h, cell_w = height / rows, side / columns
        own_h, own_w = portrait.shape[-2:]
        factor = min(cell_h / own_h, cell_w / own_w) * random.uniform(SMALLEST_SHARE, 1.0)
        h, w = max(1, int(own_h * factor)), max(1, int(own_w * factor))
        y = int(index // columns * cell_h + random.random() * (cell_h - h))
        x = int(index % columns * cell_w + random.random() * (cell_w - w))
        picture[..., y : y + h, x : x + w] = resize(portrait, h, w)
        faces.append(face.scaled(w / own_w, h / own_h).moved(x, y))
    return picture, Faces((in_order(faces),), height, side)


def group_table(model: str, folder: Path, analyzer: FaceAnalyzer, host: Host, people: Sequence[int], side: int) -> str:
    """Markdown: processor seconds of restoring groups of so many people, with and without their faces.

    All are as large in the picture as in the largest group. Scale 1, so that faces may be small; one warm-up.
    """
    loaded = load_model(model, host=host)
    portraits = portraits_of(folder, analyzer, max(people))
    lines = ["| people | picture | eyes apart, px | CPU s without faces | with faces | a face |", "|---" * 6 + "|"]
    restore(group_photo(portraits, 1, 64)[0], loaded, scale=1, host=host)
    for count in people:
        picture, faces = group_photo(portraits, count, side, places=max(people))
        begun = time.process_time()
        restore(picture, loaded, scale=1, host=host)
        between = time.process_time()
        restore(picture, loaded, scale=1, faces=faces, host=host)
        without, with_faces = between - begun, time.process_time() - between
        eyes = [face.eye_distance for face in faces[0]]
        lines.append(
            f"| {count} | {picture.shape[-1]}x{picture.shape[-2]} | {min(eyes):.0f} to {max(eyes):.0f} | {without:.2f} "
            f"| {with_faces:.2f} | {(with_faces - without) / count:.3f} |"
        )
    return "\n".join(lines)
