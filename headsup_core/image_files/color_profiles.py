"""Embedded ICC profiles: into sRGB for the networks, and back, so that wide-gamut pictures look the same afterwards.

Pillow's LittleCMS works in 8 bits per channel and clips what sRGB cannot hold. Cameras, phones and editors embed
profiles of three primaries and one curve each (sRGB, Display P3, Adobe RGB, ProPhoto), or one curve for grey; those are
computed here in float by the ICC specification (ICC.1:2022, annex F.3 and section 10.18). All others are LittleCMS's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..imaging.resizing import resize

Floats = npt.NDArray[np.float64]

# sRGB's primaries adapted to D50, the columns of its ICC profile
_SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
SAMPLES = 4096
"""Samples on which a curve is kept; between them it is linear."""
SAME = 2e-3
"""Profiles whose primaries and curves differ less from sRGB are sRGB: makers round differently."""
LEAST_EXCESS = 0.5 / 255


@dataclass(frozen=True, eq=False)
class MatrixProfile:
    """An RGB profile of primaries and curves.

    Attributes:
        to_linear_srgb: `[3,3]`, linear values of the profile to those of sRGB.
        curves: `[3,SAMPLES]`, from encoded values at even steps in 0..1 to linear ones.
    """

    to_linear_srgb: Floats
    curves: Floats

    def is_srgb(self) -> bool:
        """Whether it says the same as sRGB."""
        steps = np.linspace(0, 1, self.curves.shape[1])
        near = np.abs(_encode(self.curves) - steps).max() < SAME
        return bool(near) and bool(np.abs(self.to_linear_srgb - np.eye(3)).max() < SAME)

    def to_srgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """`[1,3,H,W]` in 0..1 to sRGB, below 0 and above 1 where sRGB does not reach."""
        steps = np.linspace(0, 1, self.curves.shape[1])
        planes = rgb[0].double().numpy()
        linear = np.stack([np.interp(plane, steps, curve) for plane, curve in zip(planes, self.curves, strict=True)])
        mixed = np.einsum("ij,jhw->ihw", self.to_linear_srgb, linear)
        return torch.from_numpy(_encode(mixed))[None].float()

    def from_srgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """The inverse of `to_srgb`, clamped to 0..1."""
        steps = np.linspace(0, 1, self.curves.shape[1])
        linear = np.einsum("ij,jhw->ihw", np.linalg.inv(self.to_linear_srgb), _decode(rgb[0].double().numpy()))
        planes = [np.interp(plane, curve, steps) for plane, curve in zip(linear, self.curves, strict=True)]
        return torch.from_numpy(np.stack(planes))[None].float().clamp(0, 1)


@dataclass(frozen=True, eq=False)
class WideGamut:
    """What a picture holds beyond sRGB.

    Attributes:
        icc: the file's profile.
        profile: what it says.
        excess: `[1,3,H,W]`, what was cut off to fit the picture into sRGB; None when nothing was.
    """

    icc: bytes
    profile: MatrixProfile
    excess: torch.Tensor | None

    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """An sRGB picture `[1,3,H,W]`, perhaps enlarged, in the colour space of the file, with what was cut off."""
        if self.excess is not None:
            rgb = rgb + resize(self.excess, rgb.shape[-2], rgb.shape[-1], clamp=False)
        return self.profile.from_srgb(rgb)


def into_srgb(rgb: torch.Tensor, icc: bytes, profile: MatrixProfile) -> tuple[torch.Tensor, WideGamut | None]:
    """A picture `[1,3,H,W]` with that profile in sRGB, clamped to 0..1, and what that cannot hold."""
    if profile.is_srgb():
        return rgb, None
    extended = profile.to_srgb(rgb)
    inside = extended.clamp(0, 1)
    excess = extended - inside
    kept = excess if float(excess.abs().max()) > LEAST_EXCESS else None
    return inside, WideGamut(icc, profile, kept)


def matrix_profile(icc: bytes) -> MatrixProfile | None:
    """The profile when it is one of three primaries and curves for RGB; None for any other, or a damaged one."""
    try:
        tags = _tags(icc)
        if icc[16:20] != b"RGB " or icc[20:24] != b"XYZ " or b"A2B0" in tags:
            return None
        primaries = np.array([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
        curves = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
        if not np.isfinite(curves).all() or abs(np.linalg.det(primaries)) < 1e-6 or (np.diff(curves) < 0).any():
            return None
        return MatrixProfile(np.linalg.inv(_SRGB) @ primaries, curves)
    except (KeyError, struct.error, ValueError, IndexError, OverflowError):
        return None


def grey_curve(icc: bytes) -> Floats | None:
    """`[SAMPLES]` from the values of a grey profile to sRGB's, both encoded; None for any other, or a damaged one."""
    try:
        tags = _tags(icc)
        if icc[16:20] != b"GRAY" or icc[20:24] != b"XYZ ":
            return None
        curve = _curve(tags[b"kTRC"])
    except (KeyError, struct.error, ValueError, IndexError, OverflowError):
        return None
    if not np.isfinite(curve).all() or (np.diff(curve) < 0).any():
        return None
    encoded = _encode(curve)
    steps = np.linspace(0, 1, SAMPLES)
    return steps if np.abs(encoded - steps).max() < SAME else encoded.clip(0, 1)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    found: dict[bytes, bytes] = {}
    for index in range(min(count, 200)):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * index)
        found[name] = icc[offset : offset + size]
    return found


def _xyz(tag: bytes) -> Floats:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> Floats:
    """A `curv` or `para` element, on `SAMPLES` even steps in 0..1."""
    steps = np.linspace(0, 1, SAMPLES)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return steps
        values = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count == 1:
            return steps ** (values[0] / 256)
        return np.interp(steps, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError(f"curve of type {tag[:4]!r}")
    (kind,) = struct.unpack_from(">H", tag, 8)
    g, a, b, c, d, e, f = _parameters(kind, tag)
    bent = np.maximum(a * steps + b, 0) ** g + e
    return np.where(steps >= d, bent, c * steps + f)


def _parameters(kind: int, tag: bytes) -> tuple[float, ...]:
    """g, a, b, c, d, e, f of y = (a x + b)^g + e from d on, c x + f below (ICC.1:2022, table 70)."""
    given = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    if kind == 0:
        return (given[0], 1, 0, 0, 0, 0, 0)
    g, a, b = given[:3]
    if kind in (1, 2):
        offset = given[3] if kind == 2 else 0.0
        return (g, a, b, 0, -b / a if a else 0.0, offset, offset)
    return (g, a, b, given[3], given[4], *(given[5:] or (0.0, 0.0)))


def _encode(linear: Floats) -> Floats:
    """Linear to sRGB (IEC 61966-2-1), odd about 0."""
    size = np.abs(linear)
    return np.copysign(np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055), linear)


def _decode(encoded: Floats) -> Floats:
    size = np.abs(encoded)
    return np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), encoded)
