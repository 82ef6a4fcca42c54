"""A person's photo brought to the quality of a face in a picture, so that a recogniser compares like with like.

A recogniser puts a ruined picture of somebody far from a clean one of the same person, and near ruined pictures of
others. So the photo is laid where the face is, at its size, and blurred and made noisy as far as that can be estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...faces.alignment import align_matrix, uncrop
from ...faces.face import Face
from ...faces.reference import face_location
from ...imaging.tints.chroma import luma_of

BLURS = (0.0, 0.5, 0.8, 1.1, 1.5, 2.0, 2.7)
"""Sigmas in pixels of the input that are tried."""
SURROUNDINGS = 3.0
"""Eye distances around the middle of the landmarks that are looked at."""
SEED = 5
"""Where the noise starts, so that the same picture is always judged alike."""


@dataclass(frozen=True)
class Quality:
    """How bad a face is.

    Attributes:
        eyes: pixels between the eyes.
        noise: standard deviation of the noise in luma, in 0..1.
    """

    eyes: float
    noise: float


def quality_of(picture: torch.Tensor, face: Face) -> Quality:
    """The quality of a face in a picture `[1,3,h,w]` in 0..1, before any enlargement.

    The noise is Immerkaer's estimate (1996): the mean absolute answer of a kernel that flat and sloping areas leave at
    zero, here its median, which edges move less.
    """
    x0, y0, x1, y1 = _window(face, *picture.shape[-2:])
    luma = luma_of(picture[..., y0:y1, x0:x1].float())
    if min(luma.shape[-2:]) < 3:
        return Quality(face.eye_distance, 0.0)
    kernel = luma.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])[None, None]
    answer = F.conv2d(luma, kernel).abs().median()
    return Quality(face.eye_distance, float(answer) / (6 * 0.6745))


def photo_at_quality(crop: torch.Tensor, picture: torch.Tensor, face: Face, noise: float) -> torch.Tensor:
    """`picture` `[1,3,h,w]` with the person's photo in the place of the face, as bad as the face is.

    Args:
        crop: the photo's face `[1,3,S,S]` in 0..1, aligned to the FFHQ template.
        picture: in which the face lies, before any enlargement, in 0..1.
        noise: of the face, as `quality_of` gives it.

    The blur is that of `BLURS` with which the photo has as much fine detail as the face, both less their noise.
    """
    height, width = picture.shape[-2:]
    placed = uncrop(crop.float(), align_matrix(face.landmarks, crop.shape[-1]), height, width)
    weight = face_location(face, height, width)
    wanted = _detail(picture.float(), weight) - _DETAIL_OF_NOISE * noise**2
    blurred = [_blurred(placed, sigma) for sigma in BLURS]
    away = [abs(math.log((_detail(each, weight) + 1e-6) / (max(wanted, 0.0) + 1e-6))) for each in blurred]
    chosen = blurred[away.index(min(away))]
    grains = torch.randn((1, 1, height, width), generator=torch.Generator().manual_seed(SEED))
    return (chosen + noise * grains).clamp(0, 1)


def structure_match(result: torch.Tensor, picture: torch.Tensor, face: Face) -> float:
    """How well a restored picture explains the input at a face, -1 to 1: their correlation in structure.

    The result is reduced to the input's size; both in grey, less their local mean, over the inner face. Colour, light
    and contrast do not count.

    Args:
        result: `[1,3,H,W]` in 0..1.
        picture: the input `[1,3,h,w]`; `face` is in its pixels.
    """
    height, width = picture.shape[-2:]
    weight = face_location(face, height, width)
    small = F.interpolate(result.float(), size=(height, width), mode="area")
    a, b = (_structure(luma_of(each), face.eye_distance) for each in (small, picture.float()))
    total = weight.sum().clamp(min=1e-6)
    a, b = (each - (each * weight).sum() / total for each in (a, b))
    spread = ((a * a * weight).sum() * (b * b * weight).sum()).sqrt()
    return float((a * b * weight).sum() / spread.clamp(min=1e-9))


def _structure(luma: torch.Tensor, eyes: float) -> torch.Tensor:
    """Less noise than the picture, and without slow light."""
    return _blurred(luma, 0.6) - _blurred(luma, max(1.2, 0.35 * eyes))


_DETAIL_OF_NOISE = 0.76
"""What white noise of variance 1 gives in `_detail`."""


def _detail(picture: torch.Tensor, weight: torch.Tensor) -> float:
    """Mean square of what a blur of one pixel takes away, in luma."""
    luma = luma_of(picture)
    fine = luma - _blurred(luma, 1.0)
    return float((fine * fine * weight).sum() / weight.sum().clamp(min=1e-6))


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    if sigma <= 0:
        return image
    reach = max(1, math.ceil(3 * sigma))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    padded = F.pad(image, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _window(face: Face, height: int, width: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of what surrounds a face."""
    x, y = face.landmarks.mean(0).tolist()
    reach = SURROUNDINGS * face.eye_distance / 2
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    return x0, y0, max(x0, min(width, int(x + reach) + 1)), max(y0, min(height, int(y + reach) + 1))
