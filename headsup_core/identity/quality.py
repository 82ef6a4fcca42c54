"""How useful a photo of a face is as a reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..faces.alignment import align_matrix, crop
from ..faces.face import Face

GOOD_EYE_DISTANCE = 64.0
"""Pixels from which size is no shortcoming: HeadsUp keeps faces from there on for PortraitSR-4K (4.1)."""
GOOD_SHARPNESS = 0.02
WEAK = 0.5
"""A part below this is named as a shortcoming."""


@dataclass(frozen=True)
class PhotoQuality:
    """Each part from 0 (useless) to 1 (no shortcoming).

    Attributes:
        size: eye distance over 64 px.
        sharpness: detail of the aligned face: mean absolute Laplacian of its luma at 256 px, over 0.02.
        frontality: how symmetrically the nose lies between the eyes and the mouth corners.
        certainty: the detector's score.
    """

    size: float
    sharpness: float
    frontality: float
    certainty: float

    @property
    def overall(self) -> float:
        """The weakest part decides, the others weigh a little: the product of the least and the mean, square root."""
        parts = (self.size, self.sharpness, self.frontality, self.certainty)
        return (min(parts) * sum(parts) / len(parts)) ** 0.5

    @property
    def shortcomings(self) -> str:
        """In words; "" without any."""
        words = {
            "a small face": self.size,
            "blurred": self.sharpness,
            "turned away": self.frontality,
            "hardly recognised as a face": self.certainty,
        }
        return ", ".join(word for word, part in words.items() if part < WEAK)


def photo_quality(image: torch.Tensor, face: Face) -> PhotoQuality:
    """How useful one face in a picture `[1,3,H,W]` in 0..1 is as a reference."""
    aligned = crop(image, align_matrix(face.landmarks, 256), 256)
    luma = (aligned * aligned.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    kernel = luma.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    # the middle of the face; hair and background say nothing of it
    detail = float(F.conv2d(luma, kernel)[..., 64:224, 64:192].abs().mean())
    return PhotoQuality(
        size=min(1.0, face.eye_distance / GOOD_EYE_DISTANCE),
        sharpness=min(1.0, detail / GOOD_SHARPNESS),
        frontality=frontality(face.landmarks),
        certainty=min(1.0, max(0.0, face.score)),
    )


def frontality(landmarks: torch.Tensor) -> float:
    """1 for a nose midway between the two sides of the face, 0 for one at or beyond a side. `[5,2]`."""
    sides = (landmarks[[0, 1]] + landmarks[[3, 4]]) / 2  # the left and the right side, between eye and mouth corner
    across = sides[1] - sides[0]
    along = float(((landmarks[2] - sides[0]) * across).sum() / (across * across).sum().clamp(min=1e-9))
    return max(0.0, 1 - abs(2 * along - 1))
