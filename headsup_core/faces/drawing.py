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
from .labels import lay_out

Mark = Literal["good", "bad", "none"]

TINY = 384
"""Pictures with a shorter long side are enlarged until text can be read on them."""
LINE_WIDTHS_PER_SIDE = 200
"""Frames are so much thinner than the side: 1.5 px wide where a node shows the picture at 300 px."""
COLOURS = ((255, 214, 10), (64, 224, 255), (255, 120, 200), (140, 255, 120), (255, 160, 70), (190, 170, 255))
MARKS: dict[Mark, tuple[int, int, int]] = {"good": (70, 200, 90), "bad": (235, 75, 65), "none": (150, 150, 150)}
SHADE = (0, 0, 0)
BACKGROUND = (32, 32, 36)
TEXT = (240, 240, 240)
TILE = 256
TITLE_SIZE, WORDS_SIZE = 30, 26
"""Heights of letters on cards: of two columns, a node 300 px wide shows 14 px of the smaller."""
TITLE_STEP, WORDS_STEP = 40, 32
NAME_LETTERS = 16
"""Longer names are cut beside a face."""
SYSTEM_FONTS = ("msyh.ttc", "PingFang.ttc", "NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "arial.ttf", "Arial.ttf")
"""For letters beyond ASCII, the widest first; Pillow looks for them where the system keeps fonts."""
GAP = 12
SURE, LIKELY = 0.9, 0.7
"""Least scores of a detector for these words."""


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

    Lines and letters grow with the picture, so that they can be read when it is shown 300 px wide. Where whole labels
    would hide faces, all of them are cut to their first line, and at last to what is before the colon.

    Args:
        labels: one for each face, of one or more lines, "index: ..."; None: index, score and eye distance.

    Returns:
        `[1,3,nH,nW]`; n is 1 for pictures with a side of `TINY` px or more, else the least whole number that makes one.
    """
    height, width = picture.shape[-2:]
    factor = max(1, math.ceil(TINY / max(height, width)))
    canvas = image_of(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    line = max(2, round(max(canvas.size) / LINE_WIDTHS_PER_SIDE))
    if labels is None:
        labels = [found_label(index, face) for index, face in enumerate(faces)]
    shown = [face.scaled(factor, factor) for face in faces]
    boxes = [_ordered(face.box) for face in shown]
    for index, (face, box) in enumerate(zip(shown, boxes, strict=True)):
        _outline(draw, face, box, COLOURS[index % len(COLOURS)], line)

    def measure(text: str, size: int) -> tuple[Any, str, Box]:
        font, written = _font_for(text, size)
        return font, written, draw.multiline_textbbox((0, 0), written, font=font, spacing=line)

    for index, label in enumerate(lay_out(labels, boxes, canvas.size, 2 * line, measure)):
        draw.rectangle(label.place, fill=COLOURS[index % len(COLOURS)], outline=SHADE, width=max(1, line // 4))
        at = (label.place[0] + label.offset[0], label.place[1] + label.offset[1])
        draw.multiline_text(at, label.text, fill=SHADE, font=label.font, spacing=line)
    return tensor_of(canvas)


def certainty(score: float) -> str:
    """A detector's score, 0..1, as one word."""
    if score >= SURE:
        return "sure"
    return "likely" if score >= LIKELY else "doubtful"


def found_label(index: int, face: Face) -> str:
    """Index, how sure the detector is, and how large the face is."""
    return f"{index}: {certainty(face.score)} {face.score:.2f}\neyes {face.eye_distance:.0f} px"


def short_name(name: str) -> str:
    """A name, cut where it is too long to stand beside a face."""
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 2] + "..."


def contact_sheet(cards: Sequence[Card], columns: int = 4) -> torch.Tensor:
    """Cards side by side in rows, `[1,3,H,W]` in 0..1; with none of them, a sheet that says so.

    Args:
        columns: at most so many; fewer cards make as many columns as rows, so that a node shows them large.
    """
    cards = cards or [Card(None, "nothing to show")]
    return _sheet(cards, max(1, min(columns, math.ceil(math.sqrt(len(cards))))))


def _sheet(cards: Sequence[Card], columns: int) -> torch.Tensor:
    wrapped = [_wrap(card.text, WORDS_SIZE, TILE) for card in cards]
    words = TITLE_STEP + max(len(lines) for lines in wrapped) * WORDS_STEP
    step = (TILE + GAP, TILE + words + GAP)
    rows = math.ceil(len(cards) / columns)
    canvas = Image.new("RGB", (columns * step[0] + GAP, rows * step[1] + GAP), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, (card, lines) in enumerate(zip(cards, wrapped, strict=True)):
        x, y = GAP + index % columns * step[0], GAP + index // columns * step[1]
        _put(canvas, card, x, y)
        _write(draw, (x, y + TILE + 6), _fitting(card.title, TITLE_SIZE, TILE), TITLE_SIZE, MARKS[card.mark])
        for row, text in enumerate(lines):
            _write(draw, (x, y + TILE + TITLE_STEP + row * WORDS_STEP), text, WORDS_SIZE, TEXT)
    return tensor_of(canvas)


def comparison(a: Card, b: Card, verdict: str, mark: Mark = "none") -> torch.Tensor:
    """Two cards and below them the verdict on both, `[1,3,H,W]` in 0..1."""
    sheet = image_of(_sheet([a, b], 2))
    lines = _wrap(verdict, TITLE_SIZE, sheet.width - 2 * GAP)
    canvas = Image.new("RGB", (sheet.width, sheet.height + len(lines) * TITLE_STEP + GAP), BACKGROUND)
    canvas.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, text in enumerate(lines):
        _write(draw, (GAP, sheet.height + row * TITLE_STEP), text, TITLE_SIZE, MARKS[mark])
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


def _outline(draw: ImageDraw.ImageDraw, face: Face, box: Box, colour: tuple[int, int, int], line: int) -> None:
    """A frame around the box, black outside of it so that it shows on any ground, and dots on the landmarks."""
    x0, y0, x1, y1 = (round(value) for value in box)
    edge = max(1, line // 3)
    outer = line - 1
    frame = (x0 - outer, y0 - outer, x1 + outer, y1 + outer)
    draw.rectangle((frame[0] - edge, frame[1] - edge, frame[2] + edge, frame[3] + edge), outline=SHADE, width=edge)
    draw.rectangle(frame, outline=colour, width=line)
    radius = min(max(1.0, 0.05 * face.eye_distance), 2.0 * line)
    for x, y in face.landmarks.tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=SHADE)


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
