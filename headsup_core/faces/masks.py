"""Masks of faces: box, ellipse, hull of the landmarks, or parsed pixels; feathered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..errors import InputError
from .alignment import inverse, similarity, transform_points, warp
from .face import Face
from .faces import Faces

if TYPE_CHECKING:
    from .backends.facexlib import FacexlibAnalyzer

Shape = Literal["ellipse", "box", "hull", "parsing"]
SHAPES: tuple[Shape, ...] = ("ellipse", "box", "hull", "parsing")

ELLIPSE = (0.0, 0.42, 1.12, 1.5)
"""Centre x, y from the middle between the eyes, half axes; in eye distances, turned as the eyes are: chin to hair."""
HULL_MARGIN = 0.45
"""Eye distances by which the hull of the five landmarks is widened."""


@dataclass(frozen=True)
class Outline:
    """How faces are drawn into a mask.

    Attributes:
        grow: the outline is moved outwards by this many eye distances (negative: inwards).
        feather: width in eye distances of the ramp from 1 (inside) to 0, which lies inside the outline.

    Raises:
        InputError: an unknown shape, or a negative width.
    """

    shape: Shape = "ellipse"
    grow: float = 0.0
    feather: float = 0.25

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise InputError(f"mask shape {self.shape!r} is unknown: choose one of {', '.join(SHAPES)}")
        if self.feather < 0:
            raise InputError(f"feather {self.feather}: must be 0 or more eye distances")


@dataclass(frozen=True, eq=False)
class FacePixels:
    """What the shape "parsing" looks at: a picture `[1,3,H,W]`, and a facexlib analyzer with ParseNet."""

    image: torch.Tensor
    parser: FacexlibAnalyzer


def faces_mask(
    faces: Faces,
    picture: int = 0,
    outline: Outline = Outline(),
    only: Sequence[int] | None = None,
    pixels: FacePixels | None = None,
) -> torch.Tensor:
    """The mask `[1,1,H,W]` in 0..1 of the faces of one picture, H and W being the size they were found at.

    Args:
        only: indices of the faces that count; None: all.
        pixels: for "parsing".

    Raises:
        InputError: an index without a face, or "parsing" without `pixels`.
    """
    shape = outline.shape
    here = faces[picture]
    chosen = range(len(here)) if only is None else only
    if wrong := [index for index in chosen if not 0 <= index < len(here)]:
        raise InputError(f"face {wrong[0]} does not exist: the picture has {len(here)}, counted from 0")
    mask = torch.zeros(1, 1, faces.height, faces.width)
    for index in chosen:
        face = here[index]
        if shape == "parsing":
            if pixels is None:
                raise InputError("mask shape parsing needs the picture and the facexlib analyzer with ParseNet")
            one = _parsed(face, pixels, outline)
        else:
            one = _ramp(_distance(face, shape, faces.height, faces.width) + outline.grow, outline.feather)
        mask = torch.maximum(mask, one)
    return mask


def _distance(face: Face, shape: Shape, height: int, width: int) -> torch.Tensor:
    """How far each pixel is inside the outline, in eye distances, `[H,W]`; negative outside."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    eyes = max(face.eye_distance, 1e-6)
    if shape == "box":
        x0, y0, x1, y1 = face.box
        sides = torch.stack([x - x0, x1 - x, y - y0, y1 - y])
        return sides.amin(0) / eyes
    if shape == "ellipse":
        matrix = similarity(face.landmarks[:2], torch.tensor([[-0.5, 0.0], [0.5, 0.0]]))
        cx, cy, rx, ry = ELLIPSE
        u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] - cx) / rx
        v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] - cy) / ry
        return (1 - torch.sqrt(u**2 + v**2)) * min(rx, ry)
    return _hull_distance(face.landmarks, x, y) / eyes + HULL_MARGIN


def _hull_distance(points: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance in pixels to the convex hull of `points` `[n,2]`, positive inside."""
    corners = _convex_hull(points)
    inside = torch.full_like(x, math.inf)
    nearest = torch.full_like(x, math.inf)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        length = max(math.hypot(ex, ey), 1e-9)
        inside = torch.minimum(inside, (ex * (y - ay) - ey * (x - ax)) / length)
        along = (((x - ax) * ex + (y - ay) * ey) / length**2).clamp(0, 1)
        nearest = torch.minimum(nearest, torch.hypot(x - ax - along * ex, y - ay - along * ey))
    return torch.where(inside >= 0, nearest, -nearest)


def _convex_hull(points: torch.Tensor) -> list[list[float]]:
    """Corners in the order in which the inside lies on the same side; of points in one line its two ends."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[torch.from_numpy(ConvexHull(points.double().numpy()).vertices).long()].tolist()
    except QhullError:
        ordered: list[list[float]] = sorted(points.tolist())
        return [ordered[0], ordered[-1]]


def _ramp(distance: torch.Tensor, feather: float) -> torch.Tensor:
    """0 outside, 1 deeper inside than `feather`, a smooth step between; `[1,1,H,W]`."""
    if feather == 0:
        return (distance >= 0).float()[None, None]
    t = (distance / feather).clamp(0, 1)
    return (t * t * (3 - 2 * t))[None, None]


def _parsed(face: Face, pixels: FacePixels, outline: Outline) -> torch.Tensor:
    from scipy.ndimage import distance_transform_edt

    image = pixels.image
    labels, matrix = pixels.parser.parse(image, face)
    inside = labels[0, 0].numpy() > 0
    eyes = float(torch.linalg.vector_norm(transform_points(matrix, face.landmarks)[:2].diff(dim=0)))
    # distance to the outline, positive inside
    if not inside.any():
        return torch.zeros(1, 1, *image.shape[-2:])
    within: Any = distance_transform_edt(inside)
    beyond: Any = distance_transform_edt(~inside)
    soft = _ramp(torch.from_numpy(within - beyond).float() / eyes + outline.grow, outline.feather)
    return warp(soft, inverse(matrix), image.shape[-2], image.shape[-1], padding="zeros")
