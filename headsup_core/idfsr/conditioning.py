"""What IDFSR sees of a picture: the face cut out upright, its LR with the face masked, the reference warped onto it.

**The mask** is the ellipse of `faces.reference.face_location`, from the landmarks: chin to hair, turned as the eyes
are, soft at its outline. The paper masks "the facial region" by landmarks and says no more. A hull of five landmarks
would leave chin and forehead; parsing fails on faces of 8 px. **The warp** is the similarity of the five landmarks: the
paper's affine map has two more degrees of freedom, which on a turned head shear the face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..faces.alignment import align_matrix, crop, inverse, scale_of, template, transform_points
from ..faces.face import Face
from ..faces.reference import EMPTY, face_location, warped_reference

AROUND = 4
"""Pixels about a face's crop that its bicubic enlargement reads."""


@dataclass(frozen=True, eq=False)
class Seen:
    """All `[B,...,S,S]` in 0..1.

    Attributes:
        masked: I_M `[B,3,S,S]`, the enlarged LR, `EMPTY` where the face is.
        warped: I_W `[B,3,S,S]`, the enlarged LR with the reference's face laid onto its face.
        mask: `[B,1,S,S]`, 1 on the face.
        sight: what the UNet itself reads of I_W where the model sees it (`sees_reference`), `[B,3,S,S]`; None: I_W.
    """

    masked: torch.Tensor
    warped: torch.Tensor
    mask: torch.Tensor
    sight: torch.Tensor | None = None

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Seen:
        """All of it after `move`: to a device, or a selection of the samples."""
        sight = None if self.sight is None else move(self.sight)
        return Seen(move(self.masked), move(self.warped), move(self.mask), sight)


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face cut out of a picture, upright.

    Attributes:
        picture: `[1,3,S,S]` in 0..1, its own resolution as it may be.
        matrix: `[2,3]`, picture to crop.
        face: the face in the crop's pixels.
    """

    picture: torch.Tensor
    matrix: torch.Tensor
    face: Face


def cut_face(picture: torch.Tensor, face: Face, size: int) -> AlignedFace:
    """The crop of `size` px of a `face` in `picture` `[1,3,H,W]` in 0..1, aligned to the FFHQ template.

    A face smaller than the template is enlarged bicubically first, as the training enlarges its LR.
    """
    matrix = align_matrix(face.landmarks, size)
    window, to_window = _window(picture, matrix, size)
    aligned = crop(window, matrix @ torch.linalg.inv(to_window), size)
    x0, y0, x1, y1 = face.box
    corners = transform_points(matrix, torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
    box = (low[0], low[1], high[0], high[1])
    placed = Face(box, transform_points(matrix, face.landmarks), face.score, face.embedding, face.identity)
    return AlignedFace(aligned.clamp(0, 1), matrix, placed)


def aligned_face(size: int) -> Face:
    """Where the face is in an aligned crop of `size` px."""
    landmarks = template("ffhq", size)
    centre = landmarks.mean(0)
    half = float(landmarks[1, 0] - landmarks[0, 0]) * 1.2
    x, y = centre.tolist()
    return Face((x - half, y - half, x + half, y + half), landmarks, 1.0)


def see(low: torch.Tensor, face: Face, reference: torch.Tensor | None, *, masked: bool = True) -> Seen:
    """The model's inputs for one face.

    Args:
        low: the enlarged LR `[1,3,S,S]` in 0..1.
        face: in its pixels.
        reference: the reference's face `[1,3,R,R]` in 0..1, aligned to the FFHQ template; None: without.
        masked: see `compose`.
    """
    side = low.shape[-1]
    if reference is None:
        mask = face_location(face, side, side).to(low)
        return compose(low, mask, torch.full_like(low, EMPTY), masked=masked)
    placed, mask = warped_reference(reference.to(low), face, side, side)
    return compose(low, mask.to(low), placed, masked=masked)


def compose(low: torch.Tensor, mask: torch.Tensor, placed: torch.Tensor, *, masked: bool = True) -> Seen:
    """I_M and I_W.

    Args:
        low: the enlarged LR `[B,3,S,S]` in 0..1.
        mask: `[B,1,S,S]`.
        placed: the reference as `warped_reference` lays it, `[B,3,S,S]`: `EMPTY` outside of the mask.
        masked: False: I_M is the LR itself (an ablation).
    """
    surroundings = (1 - mask) * (low - EMPTY)
    return Seen(EMPTY + surroundings if masked else low, placed + surroundings, mask)


def _window(picture: torch.Tensor, matrix: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The part of `picture` that the crop sees, bicubically enlarged where `matrix` enlarges, and `[3,3]` onto it."""
    corners = torch.tensor([[0.0, 0.0], [size, 0.0], [0.0, size], [size, size]]) - 0.5
    covered = transform_points(inverse(matrix), corners)
    height, width = picture.shape[-2:]
    low, high = covered.amin(0).floor().int().tolist(), covered.amax(0).ceil().int().tolist()
    x0, y0 = (min(max(0, edge - AROUND), extent - 1) for edge, extent in zip(low, (width, height), strict=True))
    x1, y1 = (max(1, min(extent, edge + AROUND)) for edge, extent in zip(high, (width, height), strict=True))
    window = picture[..., y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    factor = scale_of(matrix)
    x, y = 1.0, 1.0
    if factor > 1:
        tall, wide = window.shape[-2:]
        larger = (round(tall * factor), round(wide * factor))
        window = F.interpolate(window, size=larger, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        x, y = larger[1] / wide, larger[0] / tall
    to_window = [[x, 0.0, x / 2 - 0.5 - x * x0], [0.0, y, y / 2 - 0.5 - y * y0], [0.0, 0.0, 1.0]]
    return window, torch.tensor(to_window)
