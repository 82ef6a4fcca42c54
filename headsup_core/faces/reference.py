"""A reference face for a face in a picture: where it lies, and what is laid there."""

from __future__ import annotations

import torch

from .alignment import align_matrix, uncrop
from .face import Face
from .faces import Faces
from .masks import Outline, faces_mask

MASK_GROW = 0.1
MASK_FEATHER = 0.3
"""How far the face's ellipse grows, and its soft edge, in eye distances."""
REACH = 2.5
"""Eye distances from the middle between the eyes beyond which the mask is zero (the ellipse ends at 2.06)."""
EMPTY = 0.5
"""Where no reference lies: x_r = 0 in the networks' range -1..1."""


def face_location(face: Face, height: int, width: int) -> torch.Tensor:
    """HeadsUp's mask M of a face (arXiv 2510.09924, 3.3), `[1,1,height,width]` in 0..1, soft at its outline."""
    return faces_mask(Faces(((face,),), height, width), outline=Outline(grow=MASK_GROW, feather=MASK_FEATHER))


def warped_reference(aligned: torch.Tensor, face: Face, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A reference laid onto a face by a similarity of their five landmarks, and where it lies.

    The warp is IDFSR's (arXiv 2508.10937) in place of HeadsUp's upright crop: a small convolutional network finds what
    it needs at the place where it needs it.

    Args:
        aligned: the reference's face `[1,3,S,S]` in 0..1, aligned to the FFHQ template.
        face: in pixels of a picture of `height` x `width`.

    Returns:
        The reference `[1,3,height,width]` in 0..1, `EMPTY` outside of the face, and the mask `[1,1,height,width]`.
    """
    matrix = align_matrix(face.landmarks, aligned.shape[-1])
    inside = uncrop(torch.ones_like(aligned[:, :1]), matrix, height, width, padding="zeros")
    mask = face_location(face, height, width) * inside
    placed = uncrop(aligned, matrix, height, width)
    return EMPTY + mask * (placed - EMPTY), mask
