"""The picture at the head of the README: a portrait degraded, restored, restored with the person's photo, and true."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

import headsup_core as hu
from headsup_core.image_files import read_picture
from headsup_core.training.data.degradation import degrade

from .console import say
from .paths import ROOT, relative
from .thumbnails import in_levels

OUTPUT = ROOT / "docs" / "images" / "before_after.jpg"
FACTOR, DEGRADATION, SEED = 8, "x8", 3
"""Reduced by area, noise of 5 levels, JPEG of quality 60."""
QUALITY = 92


def main() -> int:
    """Take a portrait and an older photo of the same person, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portrait", type=Path, help="a good portrait: the truth, which is degraded")
    parser.add_argument("photo", type=Path, help="another photo of the same person")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    before_after(args.portrait, args.photo).save(args.output, quality=QUALITY, subsampling=0)
    say(f"wrote {relative(args.output)}")
    return 0


def before_after(portrait: Path, photo: Path) -> Image.Image:
    """Four pictures beside each other, each as large as the portrait, whose sides are cut to multiples of 8."""
    truth = read_picture(portrait).rgb
    height, width = (side - side % FACTOR for side in truth.shape[-2:])
    top, left = ((side - part) // 2 for side, part in zip(truth.shape[-2:], (height, width), strict=True))
    truth = truth[..., top : top + height, left : left + width]
    small = degrade(truth, DEGRADATION, SEED)
    analyzer, model = hu.load_face_analyzer(), hu.load_model()
    person = hu.encode_identity([read_picture(photo).rgb], analyzer, name="person")
    faces = analyzer.detect(small)
    alone = hu.restore(small, model, scale=FACTOR, faces=faces, analyzer=analyzer)
    told = hu.restore(small, model, scale=FACTOR, faces=faces, people=[person], analyzer=analyzer)
    given = F.interpolate(small, scale_factor=FACTOR, mode="nearest")
    return in_levels(torch.cat([given, alone.image, told.image, truth], dim=-1))
