"""The thumbnails of the templates: their own pictures, restored with the templates' models and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

import headsup_core as hu
from headsup_core.image_files import read_picture

from .paths import ROOT

SAMPLES, WORKFLOWS = ROOT / "samples", ROOT / "workflows"
GAP, PAD, LETTERS = 6, 10, 38
"""Pixels: between pictures, around a caption, and of its letters: cards show a thumbnail 200 wide."""
QUALITY = 88

Panel = tuple[str, torch.Tensor]
"""A caption, "" for none, and a picture `[1,3,H,W]`."""


@cache
def picture(name: str) -> torch.Tensor:
    """A sample as `[1,3,H,W]` in 0..1."""
    return read_picture(SAMPLES / f"headsup_{name}.jpg").rgb


@cache
def model(name: str) -> hu.HeadsUpModel:
    return hu.load_model(name)


def restored(
    image: torch.Tensor,
    *photos: str,
    by: str = "headsup-tiny",
    **options: Any,  # noqa: ANN401 - the options of restore()
) -> hu.RestoreResult:
    """As *HeadsUp Restore Portrait* does it, each photo being of another person."""
    analyzer = hu.load_face_analyzer()
    people = [hu.encode_identity([picture(name)], analyzer, name=name) for name in photos]
    settings: dict[str, Any] = {"scale": 4.0} | options
    return hu.restore(image, model(by), faces=analyzer.detect(image), people=people, analyzer=analyzer, **settings)


def portrait() -> Image.Image:
    done = restored(picture("portrait"))
    return row([("before", done.before), ("after", done.image)], height=400)


def portrait_with_photo() -> Image.Image:
    done = restored(picture("portrait"), "photo")
    return row([("before", done.before), ("photo", picture("photo")), ("after", done.image)], height=340)


def group_photo() -> Image.Image:
    done = restored(picture("group"), "person_1", "person_2", "person_3")
    return column([row([("before", done.before)], height=287), row([("after", done.image)], height=287)])


def old_scan() -> Image.Image:
    scan = picture("old_scan")
    half = F.interpolate(scan, scale_factor=0.5, mode="area")
    done = restored(half, strength=0.85, color_fix="lab")
    return row([("scan", scan), ("after", done.image)], height=400)


def folder() -> Image.Image:
    first, *others = (restored(picture(f"batch/{number}")) for number in (1, 2, 3))
    panels = [("before", first.before), ("after", first.image), *(("after", other.image) for other in others)]
    return row(panels, height=280)


def compare_models() -> Image.Image:
    done, half = restored(picture("portrait")), restored(picture("portrait"), strength=0.5)
    return row([("before", done.before), ("A", done.image), ("B", half.image)], height=300)


def tiny_face() -> Image.Image:
    image = picture("tiny_face")
    done = restored(image, "fit", by="idfsr-tiny")
    face = F.interpolate(image, scale_factor=12, mode="nearest")
    return row([("a tiny face", face), ("the person", picture("fit")), ("after", done.image)], height=340)


def text_to_image() -> Image.Image:
    """A small face, as small figures have: no checkpoint comes with the pack."""
    done = restored(picture("batch/2"), scale=2.0)
    return row([("before", done.before), ("after HeadsUp", done.image)], height=380)


DRAWN: Mapping[str, Callable[[], Image.Image]] = {
    "Restore a portrait": portrait,
    "Restore a portrait with a photo of the person": portrait_with_photo,
    "Restore a group photo": group_photo,
    "Restore an old scan": old_scan,
    "Restore a folder of pictures": folder,
    "Compare two models": compare_models,
    "Restore a tiny face (IDFSR)": tiny_face,
    "Repair faces of text to image": text_to_image,
}
APPS = ("Restore a portrait", "Restore a portrait with a photo of the person")


def write_thumbnails(target: Path = WORKFLOWS) -> list[Path]:
    """Write the JPEGs of all templates, and of those that are apps, into `target`; their paths."""
    written: list[Path] = []
    for name, draw in DRAWN.items():
        thumbnail = draw()
        for title in (name, *([f"App - {name}"] if name in APPS else [])):
            path = target / f"{title}.jpg"
            thumbnail.save(path, quality=QUALITY, subsampling=0)
            written.append(path)
    return written


def row(panels: list[Panel], height: int) -> Image.Image:
    """Pictures beside each other, each `height` pixels high, with their captions in white on black."""
    pictures = [captioned(caption, resized(image, height)) for caption, image in panels]
    width = sum(one.width for one in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height), "white")
    left = 0
    for one in pictures:
        sheet.paste(one, (left, 0))
        left += one.width + GAP
    return sheet


def column(rows: list[Image.Image]) -> Image.Image:
    """Rows below each other."""
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows) + GAP * (len(rows) - 1)), "white")
    top = 0
    for one in rows:
        sheet.paste(one, (0, top))
        top += one.height + GAP
    return sheet


def in_levels(image: torch.Tensor) -> Image.Image:
    """`[1,3,H,W]` in 0..1 in 8 bits."""
    return Image.fromarray((image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def resized(image: torch.Tensor, height: int) -> Image.Image:
    whole = in_levels(image)
    return whole.resize((round(whole.width * height / whole.height), height), Image.Resampling.LANCZOS)


def captioned(caption: str, image: Image.Image) -> Image.Image:
    if caption:
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(LETTERS)
        top = image.height - LETTERS - 2 * PAD
        draw.rectangle((0, top, draw.textlength(caption, font=font) + 2 * PAD, image.height), fill="black")
        draw.text((PAD, image.height - PAD - LETTERS / 4), caption, font=font, fill="white", anchor="ls")
    return image
