"""Portraits with known landmarks, and what a second photo of the same person looks like as a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ...faces.alignment import align_matrix, crop, template
from ...faces.analyzer import Pixels, to_bytes
from ...faces.face import Face
from ...faces.reference import face_location, warped_reference
from ...models.record import ReferencePlacement
from .degradation import resize_as
from .pixels import as_image

References = Literal["none", "other_photo", "other_photo_or_none", "augmented_copy"]

REFERENCE_EYES = 126.0
"""Eye distance in pixels of aligned faces of 512 px; references of small photos are kept at half of it."""
LANDMARK_JITTER = 0.015
"""Standard deviation of the landmarks in use, in eye distances: detectors are about that wrong on bad pictures."""


GREY_REFERENCES = 0.15
"""How often a reference is black and white: old photos are, and structure is what a reference is for."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference for a training crop of S px.

    Attributes:
        picture, mask: `[3,S,S]` and `[1,S,S]`, as the model's `reference_placement` says: warped onto the face
            (`faces.reference.warped_reference`), or the upright face over the whole crop (HeadsUp 3.3) and where the
            face is; both as without a reference when there is none.
        aligned: `[3,112,112]`, aligned for a recogniser; zero without one.
    """

    picture: torch.Tensor
    mask: torch.Tensor
    aligned: torch.Tensor


def align_portrait(picture: Image.Image, landmarks: torch.Tensor) -> Pixels:
    """The face with `landmarks` `[5,2]`, aligned to the FFHQ template: `[S,S,3]`, S = 512, or 256 where the photo is no
    finer."""
    eyes = float((landmarks[1] - landmarks[0]).norm())
    side = 512 if eyes > REFERENCE_EYES / 2 else 256
    aligned = crop(as_image(np.asarray(picture)), align_matrix(landmarks, side), side)
    return to_bytes(aligned)


def make_reference(
    aligned: Pixels,
    landmarks: torch.Tensor,
    size: int,
    mirrored: bool,
    rng: np.random.Generator,
    *,
    copy: bool,
    placement: ReferencePlacement = "warped",
) -> Reference:
    """A reference for the face with `landmarks` of a crop of `size` px.

    Args:
        aligned: the reference photo's aligned face.
        mirrored: the crop is mirrored, so the reference is, too.
        copy: the reference is the target's own photo: bend it, so that copying its pixels does not pay.
    """
    image = as_image(aligned)
    if mirrored:
        image = image.flip(-1)
    if copy:
        image = bent(image, rng)
    image = _developed(image, rng)
    eyes = float((landmarks[1] - landmarks[0]).norm())
    wobble = torch.from_numpy(rng.normal(0, LANDMARK_JITTER * eyes, (5, 2)).astype(np.float32))
    face = Face((0.0, 0.0, 1.0, 1.0), landmarks + wobble, 1.0)
    if placement == "warped":
        picture, mask = warped_reference(image, face, size, size)
    else:
        picture, mask = resize_as(image, (size, size), "bicubic", antialias=True), face_location(face, size, size)
    recognised = crop(image, _ffhq_to_arcface(image.shape[-1]), 112)
    return Reference(picture[0], mask[0], recognised[0])


def no_reference(size: int) -> Reference:
    """What `warped_reference` gives far from a face."""
    return Reference(torch.full((3, size, size), 0.5), torch.zeros(1, size, size), torch.zeros(3, 112, 112))


def _ffhq_to_arcface(side: int) -> torch.Tensor:
    return align_matrix(template("ffhq", side), 112, "arcface")


def bent(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """`image` `[1,3,S,S]` through a smooth random displacement of a few hundredths of the eye distance."""
    side = image.shape[-1]
    coarse = torch.from_numpy(rng.normal(0, 0.02, (1, 2, 7, 7)).astype(np.float32)) * (2 * REFERENCE_EYES / 512)
    shift = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    still = torch.eye(2, 3)[None]
    grid = F.affine_grid(still, [1, 3, side, side], align_corners=False) + shift.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _developed(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Exposure, contrast and colour balance of another camera, sometimes a little softer."""
    gain = torch.from_numpy((rng.normal(1, 0.05, (1, 3, 1, 1)) * rng.normal(1, 0.1)).astype(np.float32))
    image = ((image.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.15)))) * gain).clamp(0, 1)
    if rng.random() < GREY_REFERENCES:
        image = greyed(image)
    if rng.random() < 0.4:
        side = image.shape[-1]
        less = max(32, int(side / rng.uniform(1.2, 4.0)))
        small = F.interpolate(image, size=(less, less), mode="bilinear", antialias=True)
        image = F.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1)
    return image


def greyed(image: torch.Tensor) -> torch.Tensor:
    """`[...,3,H,W]` with the luma of BT.601 in all channels."""
    weights = torch.tensor([0.299, 0.587, 0.114]).to(image).view(3, 1, 1)
    return (image * weights).sum(-3, keepdim=True).expand_as(image).contiguous()
