"""sRGB (IEC 61966-2-1) to CIELAB (CIE 1976, white D65, 2 degree observer) and back.

Ours, since scikit-image's works on numpy arrays in float64 and would bring a library for thirty lines; these run on the
picture's own device, in its own precision, and leave grey exactly grey.
"""

from __future__ import annotations

import numpy as np
import torch

_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# Rows divided by their sums, the white point: grey comes out with a* = b* = 0 exactly.
_RGB_TO_RELATIVE_XYZ: list[list[float]] = (_RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)).tolist()
_RELATIVE_XYZ_TO_RGB: list[list[float]] = np.linalg.inv(_RGB_TO_RELATIVE_XYZ).tolist()
_DELTA = 6 / 29


def rgb_to_lab(image: torch.Tensor) -> torch.Tensor:
    """`[B,3,H,W]` sRGB in 0..1 to L* in 0..100 and a*, b* in about -128..127."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    xyz = _mix(linear, _RGB_TO_RELATIVE_XYZ)
    x, y, z = torch.where(xyz > _DELTA**3, xyz.clamp(min=0) ** (1 / 3), xyz / (3 * _DELTA**2) + 4 / 29).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """The inverse; colours outside sRGB come out below 0 or above 1."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    relative = torch.stack((y + a / 500, y, y - b / 200), dim=1)
    xyz = torch.where(relative > _DELTA, relative**3, 3 * _DELTA**2 * (relative - 4 / 29))
    linear = _mix(xyz, _RELATIVE_XYZ_TO_RGB)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0) ** (1 / 2.4) - 0.055)


def _mix(image: torch.Tensor, matrix: list[list[float]]) -> torch.Tensor:
    """`matrix` [3,3] applied to the channels; spelled out, because a matmul may run in TF32 on a GPU."""
    first, second, third = image.unbind(1)
    return torch.stack([row[0] * first + row[1] * second + row[2] * third for row in matrix], dim=1)
