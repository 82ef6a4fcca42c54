"""Alignment by five landmarks, in both directions. Pure functions on tensors.

Coordinates have whole numbers at pixel centres, as OpenCV's. A matrix `[2,3]` maps points of the picture to points of
the crop: q = M [x, y, 1].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np

FFHQ_512 = torch.tensor(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""The template of FaceLib (CodeFormer) for crops of 512 px, which HeadsUp's Omega aligns to (3.2)."""

ARCFACE_112 = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""The template of ArcFace for crops of 112 px."""


def template(name: Literal["ffhq", "arcface"], size: int) -> torch.Tensor:
    """Landmarks `[5,2]` of an aligned crop of `size` px; the crop's borders, not its pixel centres, are scaled."""
    points, side = {"ffhq": (FFHQ_512, 512), "arcface": (ARCFACE_112, 112)}[name]
    return (points + 0.5) * (size / side) - 0.5


def similarity(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Rotation, uniform scale and translation `[2,3]`, without mirroring, that map `source` `[n,2]` to `target`.

    Least squares (Umeyama 1991), in closed form.

    Raises:
        InputError: fewer than two points, all source points in one place, or values that are not finite.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise InputError(f"landmarks {tuple(source.shape)} and {tuple(target.shape)}: must both be [n,2], n at least 2")
    a, b = source.detach().double().cpu(), target.detach().double().cpu()
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise InputError("landmarks have NaN or infinite values")
    centred = a - a.mean(0)
    spread = float((centred**2).sum())
    if spread < 1e-9:
        raise InputError(f"all {len(a)} landmarks lie in one place: nothing can be aligned by them")
    goal = b - b.mean(0)
    # as complex numbers: goal = s * centred, s = scale * exp(i angle)
    real = float((centred * goal).sum()) / spread
    imaginary = float((centred[:, 0] * goal[:, 1] - centred[:, 1] * goal[:, 0]).sum()) / spread
    linear = torch.tensor([[real, -imaginary], [imaginary, real]], dtype=torch.float64)
    return torch.cat([linear, (b.mean(0) - linear @ a.mean(0))[:, None]], dim=1).float()


def align_matrix(landmarks: torch.Tensor, size: int, to: Literal["ffhq", "arcface"] = "ffhq") -> torch.Tensor:
    """The matrix `[2,3]` that brings five landmarks `[5,2]` onto a template of `size` px."""
    return similarity(landmarks, template(to, size))


def inverse(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix `[2,3]` of the opposite direction."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -linear @ matrix[:, 2:]], dim=1)


def turned(scale: float, angle: float, middle: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """The matrix `[2,3]` that scales, turns by `angle` (radians), and brings the point `middle` `[2]` onto `goal`."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = torch.tensor([[cosine, -sine], [sine, cosine]])
    return torch.cat([linear, (goal - linear @ middle)[:, None]], dim=1)


def misplaced(landmarks: torch.Tensor, side: int, amount: float, chance: np.random.Generator) -> torch.Tensor:
    """`landmarks` `[5,2]` of a crop of `side` px, turned, scaled and shifted by chance.

    Args:
        amount: standard deviation: in radians, of the scale's logarithm, and of the shift in halves of the side.
    """
    angle, scale = chance.normal(0, amount), math.exp(chance.normal(0, amount))
    centre = torch.full((2,), (side - 1) / 2)
    shift = torch.tensor(chance.normal(0, amount * side / 2, 2), dtype=torch.float32)
    return transform_points(turned(scale, angle, centre, centre + shift), landmarks)


def composed(after: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The matrix `[2,3]` that applies `first`, then `after`."""
    after = after.to(first)
    return torch.cat([after[:, :2] @ first[:, :2], after[:, :2] @ first[:, 2:] + after[:, 2:]], dim=1)


def transform_points(matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """`points` `[n,2]` through `matrix` `[2,3]`."""
    matrix = matrix.to(points)
    return points @ matrix[:, :2].T + matrix[:, 2]


def scale_of(matrix: torch.Tensor) -> float:
    """Crop pixels per picture pixel."""
    return float(torch.linalg.vector_norm(matrix[:, 0]))


def crop(image: torch.Tensor, matrix: torch.Tensor, size: int, antialias: bool = True) -> torch.Tensor:
    """Aligned crops `[B,C,size,size]` of `image` `[B,C,H,W]`, bilinear, differentiable with respect to its pixels.

    Outside of the picture its border is repeated.

    Args:
        matrix: `[2,3]`, picture to crop; no gradient flows into it.
        antialias: reduce the picture first when the crop is less than half as fine, so that no pixel is skipped.
    """
    if antialias:
        image, matrix = _reduced(image, matrix)
    return warp(image, matrix, size, size)


def _reduced(image: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`image` made smaller, and `matrix` for it, where `matrix` reduces more than twofold and would skip pixels."""
    height, width = image.shape[-2:]
    reduction = 1 / max(scale_of(matrix), 1e-9)
    if reduction <= 2:
        return image, matrix
    small = (max(1, round(height / reduction * 2)), max(1, round(width / reduction * 2)))
    resized = F.interpolate(_computable(image), size=small, mode="bilinear", align_corners=False, antialias=True)
    return resized.to(image.dtype), matrix @ _resized(height, width, *small).to(matrix)


def _computable(image: torch.Tensor) -> torch.Tensor:
    """In float32 when it is less: positions in half precision are off by pixels, and not every kernel takes it."""
    return image if image.dtype in (torch.float32, torch.float64) else image.float()


def warp(image: torch.Tensor, matrix: torch.Tensor, height: int, width: int, padding: str = "border") -> torch.Tensor:
    """`image` `[B,C,H,W]` through `matrix` `[2,3]` onto a canvas `[B,C,height,width]`, bilinear (`cv2.warpAffine`)."""
    back = inverse(matrix.detach().double())
    source = _computable(image)
    theta = _normalised(back, image.shape[-2:], (height, width)).to(source)
    grid = F.affine_grid(theta.expand(len(image), 2, 3), [len(image), 1, height, width], align_corners=False)
    sampled = F.grid_sample(source, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return sampled.to(image.dtype)


def uncrop(
    aligned: torch.Tensor, matrix: torch.Tensor, height: int, width: int, padding: str = "border"
) -> torch.Tensor:
    """The crop `aligned` `[B,C,S,S]` back at its place in a picture `[B,C,height,width]`; the opposite of `crop`.

    Reduced first where the face is small in the picture, so that it does not shimmer.

    Args:
        matrix: `[2,3]`, picture to crop, as for `crop`.
        padding: what surrounds the crop: its "border" repeated, or "zeros".
    """
    return warp(*_reduced(aligned, inverse(matrix)), height, width, padding=padding)


def paste(base: torch.Tensor, aligned: torch.Tensor, matrix: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`base` `[1,C,H,W]` with the crop `aligned` `[1,C,S,S]` laid back where it came from.

    Args:
        matrix: `[2,3]`, picture to crop, as for `crop`.
        mask: `[1,1,S,S]` in 0..1: opacity of the crop; outside of the crop it is zero.

    Returns:
        base + mask * (crop - base), a new tensor; only the rectangle that the crop covers is computed.
    """
    side = aligned.shape[-1]
    corners = torch.tensor([[0.0, 0.0], [side, 0.0], [0.0, side], [side, side]]) - 0.5
    covered = transform_points(inverse(matrix), corners)
    height, width = base.shape[-2:]
    x0, y0 = (max(0, int(low)) for low in covered.amin(0).floor().tolist())
    x1, y1 = (min(edge, int(high) + 2) for edge, high in zip((width, height), covered.amax(0).tolist(), strict=True))
    if x0 >= x1 or y0 >= y1:
        return base.clone()
    shifted = inverse(inverse(matrix) - torch.tensor([[0.0, 0.0, x0], [0.0, 0.0, y0]]))
    canvas = (y1 - y0, x1 - x0)
    colours = uncrop(aligned, shifted, *canvas)
    opacity = uncrop(mask.to(aligned), shifted, *canvas, padding="zeros")
    result = base.clone()
    window = result[..., y0:y1, x0:x1]
    result[..., y0:y1, x0:x1] = window + opacity * (colours - window)
    return result


def _resized(height: int, width: int, small_height: int, small_width: int) -> torch.Tensor:
    """`[3,3]`: points of the reduced picture to points of the original."""
    x, y = width / small_width, height / small_height
    return torch.tensor([[x, 0.0, x / 2 - 0.5], [0.0, y, y / 2 - 0.5], [0.0, 0.0, 1.0]])


def _normalised(back: torch.Tensor, source: torch.Size, target: tuple[int, int]) -> torch.Tensor:
    """`back` `[2,3]` (canvas to picture pixels) in the -1..1 coordinates of `affine_grid`, align_corners=False."""
    rows = torch.tensor([[2 / source[1], 0.0, 1 / source[1] - 1], [0.0, 2 / source[0], 1 / source[0] - 1], [0, 0, 1]])
    x, y = target[1] / 2, target[0] / 2
    canvas = torch.tensor([[x, 0.0, x - 0.5], [0.0, y, y - 0.5], [0.0, 0.0, 1.0]])
    square = torch.cat([back, back.new_tensor([[0.0, 0.0, 1.0]])])
    return (rows.double() @ square @ canvas.double())[:2]
