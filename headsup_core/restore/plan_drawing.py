"""A plan drawn over the picture: tiles, where they overlap, faces. Tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from ..faces.drawing import COLOURS, font_of, image_of, tensor_of
from ..imaging.resizing import resize
from .planning import UpscalePlan, picture_tiles

SHOWN_SIDE = 1024
"""Longer side of the drawing in pixels: larger pictures are shown reduced, smaller ones enlarged."""
OVERLAP_OPACITY = 80
FACE, SHADE = (255, 255, 255), (0, 0, 0)
DASH = 14


def draw_plan(picture: torch.Tensor, plan: UpscalePlan, index: int = 0) -> torch.Tensor:
    """The tiles of `plan` over a picture `[1,3,h,w]` in 0..1, numbered in the order of work.

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
    boxes: list[tuple[float, float, float, float]] = []
    if not plan.by_faces:
        tiles = picture_tiles(plan, index)
        boxes = [(tile.x0 * factor, tile.y0 * factor, tile.x1 * factor, tile.y1 * factor) for tile in tiles]
    shown = _tint_overlaps(shown, boxes)
    draw = ImageDraw.Draw(shown)
    line = max(2, SHOWN_SIDE // 320)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        inset = line * (number % 3)
        inner = (x0 + inset, y0 + inset, max(x0 + inset, x1 - 1 - inset), max(y0 + inset, y1 - 1 - inset))
        draw.rectangle(inner, outline=COLOURS[number % len(COLOURS)], width=line)
    for box in plan.faces[index] if plan.faces else ():
        draw.rectangle([(value + 0.5) * factor for value in _ordered(box)], outline=FACE, width=line)  # pixel centres
    for square in plan.own_tiles[index] if plan.own_tiles else ():
        _dashed(draw, [value * factor for value in square], line)
    for number, box in enumerate(boxes):
        _number(draw, str(number + 1), box, COLOURS[number % len(COLOURS)])
    return tensor_of(shown)


def _tint_overlaps(shown: Image.Image, boxes: list[tuple[float, float, float, float]]) -> Image.Image:
    """Lay a shade over what several tiles compute."""
    counts = torch.zeros(shown.height, shown.width)
    for x0, y0, x1, y1 in boxes:
        counts[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] += 1
    opacity = ((counts - 1).clamp(0, 2) * OVERLAP_OPACITY).to(torch.uint8)
    mask = Image.fromarray(opacity.numpy())
    return Image.composite(Image.new("RGB", shown.size, COLOURS[1]), shown, mask)


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
    draw: ImageDraw.ImageDraw, text: str, box: tuple[float, float, float, float], colour: tuple[int, int, int]
) -> None:
    """The tile's number in its middle, on a ground of its colour; as large as the tile allows."""
    x0, y0, x1, y1 = box
    font = font_of(max(8, min(32, int(min(x1 - x0, y1 - y0) / 3))))
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    left, top, right, bottom = draw.textbbox(middle, text, font=font, anchor="mm")
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=colour)
    draw.text(middle, text, fill=(0, 0, 0), font=font, anchor="mm")


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
