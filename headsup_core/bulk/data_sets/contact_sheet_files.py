"""Contact sheets of the photos that fell, a file for each stage: to see whether a stage takes what it should."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from ...whole_files import whole_file
from .photo_records import PhotoRecord

log = logging.getLogger(__name__)

COLUMNS, MOST, SIDE, WORDS = 8, 48, 160, 14
"""Photos in a row and on a sheet, pixels of each, and of the line above."""


def write_sheets(folder: Path, fallen: Mapping[str, Sequence[PhotoRecord]]) -> list[str]:
    """Write `fell_STAGE.jpg` for each stage that has photos on a disk; of many, a sample. Returns the names."""
    written: list[str] = []
    for stage, records in fallen.items():
        shown = [record for record in records if _on_disk(record)]
        if len(shown) > MOST:
            shown = random.Random(0).sample(shown, MOST)  # noqa: S311 - no secret
        if not shown:
            continue
        path = folder / f"fell_{stage}.jpg"
        with whole_file(path) as temporary:
            _sheet(shown).save(temporary, "JPEG", quality=85)
        written.append(path.name)
    return written


def _on_disk(record: PhotoRecord) -> bool:
    return "://" not in record.name and "::" not in record.name and Path(record.name).is_file()


def _sheet(records: Sequence[PhotoRecord]) -> Image.Image:
    columns = min(COLUMNS, len(records))
    rows = -(-len(records) // COLUMNS)
    sheet = Image.new("RGB", (columns * SIDE, rows * (SIDE + WORDS)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, record in enumerate(records):
        x, y = index % COLUMNS * SIDE, index // COLUMNS * (SIDE + WORDS)
        draw.text((x + 2, y + 1), record.reason[: SIDE // 6], fill="black")
        try:
            with Image.open(record.name) as image:
                image.draft("RGB", (SIDE, SIDE))
                image.thumbnail((SIDE - 4, SIDE - 4), reducing_gap=2.0)
                small = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            log.warning("%s cannot be shown on its contact sheet: %s", record.name, error)
            continue
        sheet.paste(small, (x + (SIDE - small.width) // 2, y + WORDS + (SIDE - small.height) // 2))
    return sheet
