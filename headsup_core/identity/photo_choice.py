"""Which of a person's photos is taken for a face: the one nearest in pose, expression, glasses and light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..faces.alignment import FFHQ_512, align_matrix, crop, similarity, transform_points
from ..faces.face import Face
from ..faces.landmarks import Candidate, find_landmarks
from .identity import CROP_SIDE, Identity

TEMPLATE_EYES = float(torch.linalg.vector_norm(FFHQ_512[1] - FFHQ_512[0]))
LEAST_SIDE, MOST_SIDE = 16, 128
"""Sides of the aligned crops that are compared, in pixels."""
FACE, EYES, MOUTH = (0.27, 0.90, 0.19, 0.81), (0.37, 0.57, 0.21, 0.78), (0.64, 0.84, 0.31, 0.69)
"""Top, bottom, left and right of what is compared, as shares of the aligned crop's side."""
LIGHT_GRID = 6
POSE_UNIT = 0.1
"""Eye distances by which landmarks are apart in two photos of clearly different pose; counts as 1."""
MARGIN = 0.15
"""The first photo is the best one: another has to be nearer by this much in sum."""
REASONS = ("pose", "light", "eyes and glasses", "expression")


@dataclass(frozen=True)
class PhotoChoice:
    """Which photo was chosen, and why.

    Attributes:
        index: into `Identity.crops`.
        reason: in words; "" when there is one photo only.
        differences: of each photo to the face in pose, light, eyes and mouth; 0 is alike, 1 clearly different.
    """

    index: int
    reason: str
    differences: tuple[tuple[float, ...], ...] = ()


ONLY_PHOTO = PhotoChoice(0, "")

Landmarks = Callable[[torch.Tensor], torch.Tensor]
"""Aligned crops `[n,3,S,S]` in 0..1 to the landmarks `[n,5,2]` in them."""


def choose_photo(
    identity: Identity, face: Face, picture: torch.Tensor, landmarks_in: Landmarks | None = None
) -> PhotoChoice:
    """The photo of a person that is nearest to a face as it is in a picture.

    Photos are compared at the quality of the face: both are reduced until the eyes are as far apart as in the picture.
    Pose is the distance of the five landmarks after alignment; light the correlation of the coarse brightness; eyes
    with glasses, and the mouth, the correlation of what is there. Of photos that are about as near the first is taken,
    which is the one of the best quality. Nothing of it knows whether the person is the right one.

    Args:
        picture: `[1,3,H,W]` in 0..1.
        face: in pixels of `picture`.
        landmarks_in: finds the landmarks in aligned crops; None: the bundled landmark net.
    """
    crops = identity.crops
    if len(crops) < 2:
        return ONLY_PHOTO
    side = round(min(MOST_SIDE, max(LEAST_SIDE, CROP_SIDE * face.eye_distance / TEMPLATE_EYES)))
    shown = crop(picture.float().cpu().clamp(0, 1), align_matrix(face.landmarks, side), side)
    photos = F.interpolate(crops.float().cpu(), size=(side, side), mode="area")
    shapes = [shape_of(points) for points in (landmarks_in or _landmarks_in)(crops)]
    wanted = shape_of(face.landmarks)
    differences = tuple(
        (
            float(torch.linalg.vector_norm(shape - wanted, dim=1).mean()) / POSE_UNIT,
            _unlike(*(F.adaptive_avg_pool2d(_part(one, FACE), LIGHT_GRID) for one in (photo, shown))),
            _unlike(_part(photo, EYES), _part(shown, EYES)),
            _unlike(_part(photo, MOUTH), _part(shown, MOUTH)),
        )
        for shape, photo in zip(shapes, photos.split(1), strict=True)
    )
    sums = [sum(each) for each in differences]
    best = min(range(len(sums)), key=lambda index: sums[index])
    if best == 0 or sums[best] > sums[0] - MARGIN:
        return PhotoChoice(0, f"photo 1 of {len(sums)}, the best one, since none is clearly nearer", differences)
    gains = [first - own for first, own in zip(differences[0], differences[best], strict=True)]
    named = [word for word, gain in zip(REASONS, gains, strict=True) if gain >= max(gains) / 2]
    return PhotoChoice(best, f"photo {best + 1} of {len(sums)}, nearest in {' and '.join(named)}", differences)


def shape_of(landmarks: torch.Tensor) -> torch.Tensor:
    """Landmarks `[5,2]` laid onto the template, in its eye distances: what is left is pose and expression."""
    return transform_points(similarity(landmarks, FFHQ_512), landmarks.float()) / TEMPLATE_EYES


def _landmarks_in(crops: torch.Tensor) -> torch.Tensor:
    """Landmarks `[n,5,2]` of aligned crops, whose places are known but for the pose."""
    x, y = FFHQ_512.mean(0).tolist()
    return torch.cat([find_landmarks(one, [Candidate(x, y, TEMPLATE_EYES)])[0] for one in crops.split(1)])


def _part(image: torch.Tensor, place: tuple[float, float, float, float]) -> torch.Tensor:
    """The brightness `[1,1,h,w]` of a part of an aligned crop `[1,3,S,S]`."""
    top, bottom, left, right = (round(share * image.shape[-1]) for share in place)
    return (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)[
        ..., top:bottom, left:right
    ]


def _unlike(a: torch.Tensor, b: torch.Tensor) -> float:
    """1 - the correlation of two pictures of one size; 1 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    length = float((a.square().sum() * b.square().sum()).sqrt())
    return 1.0 - float((a * b).sum()) / length if length > 1e-6 else 1.0
