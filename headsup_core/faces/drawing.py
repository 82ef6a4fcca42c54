"""Pictures that show a person what was found: faces outlined, aligned faces on cards. Tensors in, tensors out."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .analyzer import to_bytes
from .face import Box, Face
from .scores import OUTCOME_LABELS

Mark = Literal["good", "bad", "none"]

TINY = 384
"""Pictures with a shorter long side are enlarged until text can be read on them."""
LINES_PER_SIDE = (18, 30)
"""Lines of text along the long side, with one face and with many: a node shows a picture 200 to 400 px wide."""
COLOURS = ((255, 214, 10), (64, 224, 255), (255, 120, 200), (140, 255, 120), (255, 160, 70), (190, 170, 255))
MARKS: dict[Mark, tuple[int, int, int]] = {"good": (70, 200, 90), "bad": (235, 75, 65), "none": (150, 150, 150)}
BACKGROUND = (32, 32, 36)
TEXT = (240, 240, 240)
TILE = 256
NAME_LETTERS = 16
"""Longer names are cut beside a face."""
SYSTEM_FONTS = ("msyh.ttc", "PingFang.ttc", "NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "arial.ttf", "Arial.ttf")
"""For letters beyond ASCII, the widest first; Pillow looks for them where the system keeps fonts."""
GAP = 12


@dataclass(frozen=True, eq=False)
class Card:
    """A picture with words below it.

    Attributes:
        picture: `[1,3,H,W]` in 0..1 of any size, or None.
        title: one line.
        text: what is said of it, wrapped.
        mark: colour of its frame.
    """

    picture: torch.Tensor | None
    title: str
    text: str = ""
    mark: Mark = "none"


def annotate(picture: torch.Tensor, faces: Sequence[Face], labels: Sequence[str] | None = None) -> torch.Tensor:
    """A picture `[1,3,H,W]` in 0..1 with box, landmarks and a label for each face.

    Args:
        labels: one for each face, of one or more lines; None: index, score and eye distance.

    Returns:
        `[1,3,nH,nW]`; n is 1 for pictures with a side of `TINY` px or more, else the least whole number that makes one.
    """
    height, width = picture.shape[-2:]
    factor = max(1, math.ceil(TINY / max(height, width)))
    canvas = image_of(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    side = max(canvas.size)
    few, many = LINES_PER_SIDE
    letters, line = max(11, side // min(many, few + 2 * max(0, len(faces) - 1))), max(1, round(side / 250))
    if labels is None:
        labels = [f"{index}: {face.score:.2f}\neyes {face.eye_distance:.0f} px" for index, face in enumerate(faces)]
    shown = [face.scaled(factor, factor) for face in faces]
    for index, face in enumerate(shown):
        colour = COLOURS[index % len(COLOURS)]
        draw.rectangle([round(value) for value in _ordered(face.box)], outline=colour, width=line)
        radius = max(line, 0.04 * face.eye_distance)
        for x, y in face.landmarks.tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=(0, 0, 0))
    taken: list[Box] = []
    for index, (face, label) in enumerate(zip(shown, labels, strict=True)):
        font, text = _font_for(label, letters)
        x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font, spacing=line)
        size = (x1 - x0 + 4 * line, y1 - y0 + 4 * line)
        place = _free_place(face.box, size, canvas.size, taken, [other.box for other in shown if other is not face])
        taken.append(place)
        draw.rectangle(place, fill=COLOURS[index % len(COLOURS)])
        at = (place[0] + 2 * line - x0, place[1] + 2 * line - y0)
        draw.multiline_text(at, text, fill=(0, 0, 0), font=font, spacing=line)
    return tensor_of(canvas)


def score_label(index: int, face: Face) -> str:
    """Name, identity before -> after and what came of the face, where it was scored; else who it is."""
    name = face.identity or ("unknown" if face.identity is None else "nobody")
    title = f"{index}: {name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 2] + '...'}"
    if face.scores is None:
        return title
    scores = [] if face.scores.outcome == "unscored" else [face.scores.change]
    return "\n".join([title, *scores, OUTCOME_LABELS[face.scores.outcome]])


def contact_sheet(cards: Sequence[Card], columns: int = 4) -> torch.Tensor:
    """Cards side by side in rows, `[1,3,H,W]` in 0..1; with none of them, a sheet that says so."""
    cards = cards or [Card(None, "nothing to show")]
    columns = max(1, min(columns, len(cards)))
    wrapped = [_wrap(card.text, 17, TILE) for card in cards]
    words = 30 + max(len(lines) for lines in wrapped) * 21
    step = (TILE + GAP, TILE + words + GAP)
    rows = math.ceil(len(cards) / columns)
    canvas = Image.new("RGB", (columns * step[0] + GAP, rows * step[1] + GAP), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, (card, lines) in enumerate(zip(cards, wrapped, strict=True)):
        x, y = GAP + index % columns * step[0], GAP + index // columns * step[1]
        _put(canvas, card, x, y)
        _write(draw, (x, y + TILE + 4), _fitting(card.title, 22, TILE), 22, MARKS[card.mark])
        for row, text in enumerate(lines):
            _write(draw, (x, y + TILE + 32 + row * 21), text, 17, TEXT)
    return tensor_of(canvas)


def comparison(a: Card, b: Card, verdict: str, mark: Mark = "none") -> torch.Tensor:
    """Two cards and below them the verdict on both, `[1,3,H,W]` in 0..1."""
    sheet = image_of(contact_sheet([a, b]))
    lines = _wrap(verdict, 24, sheet.width - 2 * GAP)
    canvas = Image.new("RGB", (sheet.width, sheet.height + len(lines) * 30 + GAP), BACKGROUND)
    canvas.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, text in enumerate(lines):
        _write(draw, (GAP, sheet.height + row * 30), text, 24, MARKS[mark])
    return tensor_of(canvas)


def _put(canvas: Image.Image, card: Card, x: int, y: int) -> None:
    """The card's picture, fitted into its tile, and its frame."""
    draw = ImageDraw.Draw(canvas)
    if card.picture is None:
        draw.line((x, y, x + TILE, y + TILE), fill=MARKS["none"])
        draw.line((x, y + TILE, x + TILE, y), fill=MARKS["none"])
    else:
        image = image_of(card.picture)
        factor = TILE / max(image.size)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        fitted = image.resize(size, Image.Resampling.LANCZOS)
        canvas.paste(fitted, (x + (TILE - size[0]) // 2, y + (TILE - size[1]) // 2))
    draw.rectangle((x - 3, y - 3, x + TILE + 2, y + TILE + 2), outline=MARKS[card.mark], width=3)


def _free_place(
    box: Box, size: tuple[float, float], canvas: tuple[int, int], taken: Sequence[Box], faces: Sequence[Box]
) -> Box:
    """Where a label of `size` beside `box` hides least: other labels count most, then faces."""
    x0, y0, x1, y1 = box
    width, height = size
    corners = [
        (x, y)
        for y in (y0 - height, y1, y0, y1 - height)
        for x in (x0, x1 - width, (x0 + x1 - width) / 2, x1, x0 - width)
    ]
    places: list[Box] = []
    for x, y in corners:
        left = min(max(0.0, x), max(0.0, canvas[0] - 1 - width))
        top = min(max(0.0, y), max(0.0, canvas[1] - 1 - height))
        places.append((left, top, left + width, top + height))

    def hides(place: Box) -> float:
        labels = sum(_overlap(place, other) for other in taken)
        return 10 * labels + sum(_overlap(place, other) for other in faces) + 0.5 * _overlap(place, box)

    return min(places, key=hides)  # the first of equally good ones


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _ordered(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _wrap(text: str, size: int, width: int) -> list[str]:
    """Lines that fit into `width` pixels; words that do not are cut."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and _length(longer, size) > width:
                lines.append(line)
                longer = word
            line = _fitting(longer, size, width)
        lines.append(line)
    return lines


def _fitting(text: str, size: int, width: int) -> str:
    """`text`, cut at its end until it fits."""
    kept = text
    while kept and _length(kept if kept == text else kept + "...", size) > width:
        kept = kept[:-1]
    return kept if kept == text else kept + "..."


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, fill: tuple[int, int, int]) -> None:
    font, written = _font_for(text, size)
    draw.text(at, written, fill=fill, font=font)


def _length(text: str, size: int) -> float:
    font, written = _font_for(text, size)
    return font.getlength(written)


def _font_for(text: str, size: int) -> tuple[Any, str]:
    """A font that has the letters of `text`, and what to write with it.

    Pillow's own font has ASCII only. Names in other letters take a font of the system; without one they are written
    without accents.
    """
    if not text.isascii():
        font = _system_font(size)
        if font is not None:
            return font, text
        text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return font_of(size), text


@lru_cache(maxsize=8)
def _system_font(size: int) -> Any:  # noqa: ANN401 - as below
    for name in SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


@lru_cache(maxsize=32)
def font_of(size: int) -> Any:  # noqa: ANN401 - a TrueType font where Pillow has FreeType
    """Pillow's own font, of ASCII letters, `size` pixels high."""
    return ImageFont.load_default(size)


def image_of(picture: torch.Tensor) -> Image.Image:
    """`[1,3,H,W]` in 0..1 as a Pillow picture."""
    return Image.fromarray(to_bytes(picture.detach().float().cpu()))


def tensor_of(image: Image.Image) -> torch.Tensor:
    """A Pillow picture as `[1,3,H,W]` in 0..1."""
    array = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]
