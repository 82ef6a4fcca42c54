"""A public-domain portrait, made as small and bad as pictures from the web are: for tests, and comparisons."""

from __future__ import annotations

import io
from pathlib import Path

from .console import ScriptError

NAME = "headsup_sample.png"
FACE_REGION = (62, 0, 318, 256)  # left, top, right, bottom of head and shoulders in the 512 x 512 picture
SMALL = 128
BLUR_RADIUS = 0.6
JPEG_QUALITY = 60


def write_sample(path: Path) -> None:
    """Write NASA's portrait of Eileen Collins, cropped to the head, 128 px, slightly blurred, JPEG quality 60.

    Raises:
        ScriptError: scikit-image, which carries the picture, is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ScriptError(
            "the sample portrait comes with scikit-image: pip install scikit-image, or give your own with --image."
        ) from error
    from PIL import Image, ImageFilter

    small = Image.fromarray(data.astronaut()).crop(FACE_REGION).resize((SMALL, SMALL), Image.Resampling.BOX)
    jpeg = io.BytesIO()
    small.filter(ImageFilter.GaussianBlur(BLUR_RADIUS)).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    jpeg.seek(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(jpeg).save(path)  # PNG or JPEG as the name says, with the JPEG's flaws in either case


def side_by_side(before: bytes, after: bytes, path: Path, gap: int = 8) -> tuple[int, int]:
    """Write two pictures next to each other with a thin white gap, and return the size of the second."""
    from PIL import Image

    left, right = (Image.open(io.BytesIO(data)).convert("RGB") for data in (before, after))
    sheet = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + gap, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return right.size
