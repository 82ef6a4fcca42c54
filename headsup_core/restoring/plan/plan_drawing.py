"""A plan drawn over the picture: tiles, where they overlap, faces. Tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from ...faces.drawing import COLOURS, font_of, image_of, tensor_of
from ...faces.face import Box
from ...faces.labels import overlap
from ...imaging.resizing import resize
from .upscale_plan import UpscalePlan, picture_tiles

SHOWN_SIDE = 1024
"""Longer side of the drawing in pixels: larger pictures are shown reduced, smaller ones enlarged."""
OVERLAP_OPACITY = 80
FACE, SHADE = (255, 255, 255), (0, 0, 0)
DASH = 14
READABLE, LARGE = 40, 56
"""Heights of letters: 12 and 16 px where a node shows the drawing 300 px wide."""


def draw_plan(picture: torch.Tensor, plan: UpscalePlan, index: int = 0) -> torch.Tensor:
    """The tiles of `plan` over a picture `[1,3,h,w]` in 0..1, numbered in the order of work; of small tiles, only those
    that begin a row, and the last.

    Where tiles overlap, the picture is tinted; the more tiles, the more. Faces are white boxes, dashed is what is
    restored once more for a face. Neighbours' frames have different colours and lie a little inside their tile, so that
    both can be seen.

    Args:
        picture: the input, of any size.
        index: which of the plan's pictures it is, for its faces.

    Returns:
        `[1,3,H,W]` with a longer side of `SHOWN_SIDE` px.
    """
    height, width = plan.output_size
    factor = SHOWN_SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shown = image_of(resize(picture.float(), size[1], size[0]))
    boxes: list[Box] = []
    if not plan.by_faces:
        tiles = picture_tiles(plan, index)
        boxes = [(tile.x0 * factor, tile.y0 * factor, tile.x1 * factor, tile.y1 * factor) for tile in tiles]
    shown = _tint_overlaps(shown, boxes)
    draw = ImageDraw.Draw(shown)
    line = SHOWN_SIDE // 200
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        inset = line * (number % 3)
        inner = (x0 + inset, y0 + inset, max(x0 + inset, x1 - 1 - inset), max(y0 + inset, y1 - 1 - inset))
        draw.rectangle(inner, outline=COLOURS[number % len(COLOURS)], width=line)
    for box in plan.faces[index] if plan.faces else ():
        _frame(draw, [(value + 0.5) * factor for value in _ordered(box)], line)  # pixel centres
    for square in plan.own_tiles[index] if plan.own_tiles else ():
        _dashed(draw, [value * factor for value in square], line)
    faces = [_ordered(box) for box in (plan.faces[index] if plan.faces else ())]
    avoided = [(x0 * factor, y0 * factor, x1 * factor, y1 * factor) for x0, y0, x1, y1 in faces]
    for number in _numbered(boxes):
        _number(draw, str(number + 1), boxes[number], COLOURS[number % len(COLOURS)], avoided)
    return tensor_of(shown)


def _numbered(boxes: Sequence[Box]) -> list[int]:
    """Which tiles get their number: of tiles too small for letters that can be read, those that begin a row, and the
    last."""
    if all(min(x1 - x0, y1 - y0) >= 1.5 * READABLE for x0, y0, x1, y1 in boxes):
        return list(range(len(boxes)))
    starts = [0, *(number for number in range(1, len(boxes)) if boxes[number][1] != boxes[number - 1][1])]
    kept: list[int] = []
    for number in [*starts, len(boxes) - 1]:
        if not kept or boxes[number][1] - boxes[kept[-1]][1] >= 1.2 * READABLE or boxes[number][0] > boxes[kept[-1]][2]:
            kept.append(number)
    return kept


def _tint_overlaps(shown: Image.Image, boxes: list[Box]) -> Image.Image:
    """Lay a shade over what several tiles compute."""
    counts = torch.zeros(shown.height, shown.width)
    for x0, y0, x1, y1 in boxes:
        counts[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] += 1
    opacity = ((counts - 1).clamp(0, 2) * OVERLAP_OPACITY).to(torch.uint8)
    mask = Image.fromarray(opacity.numpy())
    return Image.composite(Image.new("RGB", shown.size, COLOURS[1]), shown, mask)


def _frame(draw: ImageDraw.ImageDraw, box: Sequence[float], line: int) -> None:
    """A white frame, black around it, so that it shows on any ground."""
    x0, y0, x1, y1 = box
    draw.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=SHADE, width=line + 4)
    draw.rectangle((x0, y0, x1, y1), outline=FACE, width=line)


def _dashed(draw: ImageDraw.ImageDraw, box: Sequence[float], line: int) -> None:
    """A dashed frame, which may reach beyond the picture; black below, so that it shows on white as well."""
    x0, y0, x1, y1 = box
    for fill, width in ((SHADE, line + 2), (FACE, line)):
        for start, end, across in ((x0, x1, (y0, y1)), (y0, y1, (x0, x1))):
            for place in range(int(start), int(end), 2 * DASH):
                stop = min(place + DASH, end)
                for at in across:
                    ends = ((place, at), (stop, at)) if across == (y0, y1) else ((at, place), (at, stop))
                    draw.line(ends, fill=fill, width=width)


def _number(
    draw: ImageDraw.ImageDraw, text: str, box: Box, colour: tuple[int, int, int], faces: Sequence[Box]
) -> None:
    """The tile's number near its middle and beside faces, on a ground of its colour; as large as the tile allows, but
    never too small to be read."""
    x0, y0, x1, y1 = box
    font = font_of(max(READABLE, min(LARGE, int(min(x1 - x0, y1 - y0) / 3))))
    spots = ((0.5, 0.5), (0.5, 0.25), (0.5, 0.75), (0.25, 0.5), (0.75, 0.5))
    middles = [(x0 + across * (x1 - x0), y0 + down * (y1 - y0)) for across, down in spots]
    grounds = [draw.textbbox(middle, text, font=font, anchor="mm") for middle in middles]
    hidden = [sum(overlap(ground, face) for face in faces) for ground in grounds]
    best = hidden.index(min(hidden))
    left, top, right, bottom = grounds[best]
    draw.rectangle((left - 6, top - 4, right + 6, bottom + 4), fill=colour, outline=SHADE)
    draw.text(middles[best], text, fill=SHADE, font=font, anchor="mm")


def _ordered(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
