"""Contact sheets: pictures side by side at 100 %, with words above them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

Row = Sequence[tuple[str, torch.Tensor]]
"""Words, and a picture `[3,H,W]` of 8 bits; all of one size."""
LABEL_HEIGHT = 18


def contact_sheet(row: Row) -> Image.Image:
    """The pictures of a row side by side, not resized."""
    height, width = row[0][1].shape[1:]
    sheet = Image.new("RGB", (width * len(row), height + LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, picture) in enumerate(row):
        draw.text((index * width + 4, 3), name, fill="black")
        sheet.paste(Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()), (index * width, LABEL_HEIGHT))
    return sheet


def stacked(rows: Sequence[Row], factor: int = 1) -> Image.Image:
    """Rows below each other, each pixel `factor` pixels wide and high. Raises `ValueError` without any."""
    large = [
        contact_sheet([(name, image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)) for name, image in row])
        for row in rows
    ]
    whole = Image.new("RGB", (max(sheet.width for sheet in large), sum(sheet.height for sheet in large)), "white")
    top = 0
    for sheet in large:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole
