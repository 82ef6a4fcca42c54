"""Where the labels of faces go, and how much they may say. Boxes are (x0, y0, x1, y1) in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .face import Box

MOST_HIDDEN = 0.2
"""Share of a face that labels may hide before they say less."""
LARGE, SMALL = 20, 26
"""Lines of text along the picture's long side: a node shows a picture some 300 px wide, and letters below 11 px
cannot be read there."""


@dataclass(frozen=True)
class Label:
    """Words at a place.

    Attributes:
        place: the label's ground.
        offset: of the text's origin from the ground's corner, which the font's own bearing asks for.
    """

    text: str
    font: Any
    place: Box
    offset: tuple[float, float]


Measure = Callable[[str, int], tuple[Any, str, Box]]
"""For a text and a height of letters: the font, what to write with it, and the written text's bounding box."""


def lay_out(
    texts: Sequence[str], faces: Sequence[Box], canvas: tuple[int, int], margin: int, measure: Measure
) -> list[Label]:
    """One label a face, all of them as long and as large as faces stay visible: whole, else the first line, else up to
    the colon.

    Args:
        canvas: width and height in pixels.
        margin: pixels between text and border of its ground.
    """
    shorter = [text.splitlines()[0] if text else "" for text in texts]
    indices = [text.split(":")[0] for text in shorter]
    laid: list[Label] = []
    for level, lines in ((texts, LARGE), (texts, SMALL), (shorter, LARGE), (shorter, SMALL), (indices, SMALL)):
        letters = max(11, max(canvas) // lines)
        laid = _placed([measure(text, letters) for text in level], faces, canvas, margin)
        if not _crowded([label.place for label in laid], faces):
            break
    return laid


def _placed(
    written: Sequence[tuple[Any, str, Box]], faces: Sequence[Box], canvas: tuple[int, int], margin: int
) -> list[Label]:
    labels: list[Label] = []
    for index, (font, text, (x0, y0, x1, y1)) in enumerate(written):
        size = (x1 - x0 + 2 * margin, y1 - y0 + 2 * margin)
        taken = [label.place for label in labels]
        others = [box for number, box in enumerate(faces) if number != index]
        place = free_place(faces[index], size, canvas, taken, others)
        labels.append(Label(text, font, place, (margin - x0, margin - y0)))
    return labels


def _crowded(labels: Sequence[Box], faces: Sequence[Box]) -> bool:
    """Whether labels hide too much of a face or of each other."""
    for index, label in enumerate(labels):
        if any(overlap(label, other) > 0.05 * _area(label) for other in labels[:index]):
            return True
    return any(sum(overlap(label, face) for label in labels) > MOST_HIDDEN * _area(face) for face in faces)


def free_place(
    box: Box, size: tuple[float, float], canvas: tuple[int, int], taken: Sequence[Box], faces: Sequence[Box]
) -> Box:
    """Where a label of `size` beside `box` hides least: other labels count most, then faces."""
    x0, y0, x1, y1 = box
    width, height = size
    corners = [
        (x, y)
        for y in (y0 - height, y1, y0, y1 - height, (y0 + y1 - height) / 2)
        for x in (x0, x1 - width, (x0 + x1 - width) / 2, x1, x0 - width)
    ]
    places: list[Box] = []
    for x, y in corners:
        left = min(max(0.0, x), max(0.0, canvas[0] - 1 - width))
        top = min(max(0.0, y), max(0.0, canvas[1] - 1 - height))
        places.append((left, top, left + width, top + height))

    def hides(place: Box) -> float:
        labels = sum(overlap(place, other) for other in taken)
        return 10 * labels + sum(overlap(place, other) for other in faces) + 0.5 * overlap(place, box)

    return min(places, key=hides)  # the first of equally good ones


def overlap(a: Box, b: Box) -> float:
    """Square pixels that both cover."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
