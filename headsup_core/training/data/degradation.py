"""The second-order degradation of Real-ESRGAN (arXiv 2107.10833) in torch, deterministic by seed.

Twice: blur, resize, noise, JPEG; then a sinc filter and the final resize to `size / scale`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .blur_kernels import random_blur_kernel, random_gaussian_kernel, sinc_kernel

Range = tuple[float, float]
Rng = np.random.Generator
ResizeMode = Literal["area", "bilinear", "bicubic"]


@dataclass(frozen=True)
class StageParams:
    """One order of the degradation. Ranges are uniform; sigmas in pixels, noise in 8-bit levels."""

    blur_prob: float
    blur_sigma: Range
    sinc_prob: float
    resize_probs: tuple[float, float, float]  # up, down, keep
    resize_range: Range
    gaussian_noise_prob: float
    noise_range: Range
    poisson_scale: Range
    grey_noise_prob: float
    jpeg_range: Range


@dataclass(frozen=True)
class SecondOrder:
    """Real-ESRGAN: two stages, a final sinc filter and the resize to size / scale."""

    first: StageParams
    second: StageParams
    final_sinc_prob: float
    scale: int = 4


@dataclass(frozen=True)
class FirstOrder:
    """Blur (sometimes), one antialiased resize, noise, JPEG (sometimes): small but otherwise decent pictures."""

    blur_prob: float
    blur_sigma: Range
    noise_range: Range
    jpeg_range: Range
    jpeg_prob: float = 1.0
    modes: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
    scale: int = 4


@dataclass(frozen=True)
class BlindFace:
    """The degradation of GFPGAN (arXiv 2101.04061) and CodeFormer: blur, reduction by a random factor, noise, JPEG, and
    back to size / scale; for aligned faces, whose scale is 1."""

    blur_sigma: Range
    factor: Range
    noise_range: Range
    jpeg_range: Range
    kernel_size: int = 41
    scale: int = 1


@dataclass(frozen=True)
class OldScan:
    """A print that was scanned: soft, reduced, with the grain of film (alike in all channels, wider than a pixel), dust
    and scratches, and JPEG. Fading is left out: light and colour of a picture are not for a restorer to change.

    Attributes:
        grain: standard deviation in 8-bit levels.
        grain_size: standard deviation in pixels of the blur that makes grain of noise.
        scratches: largest number of scratches and of specks.
    """

    blur_sigma: Range
    grain: Range
    grain_size: Range
    scratches: int
    jpeg_range: Range
    scale: int = 4


Degradation = SecondOrder | FirstOrder | BlindFace | OldScan

_FIRST = StageParams(1.0, (0.2, 3.0), 0.1, (0.2, 0.7, 0.1), (0.15, 1.5), 0.5, (1, 30), (0.05, 3.0), 0.4, (30, 95))
_SECOND = StageParams(0.8, (0.2, 1.5), 0.1, (0.3, 0.4, 0.3), (0.3, 1.2), 0.5, (1, 25), (0.05, 2.5), 0.4, (30, 95))

DEGRADATIONS: Mapping[str, Degradation] = {
    "realesrgan": SecondOrder(_FIRST, _SECOND, 0.8),
    "web": FirstOrder(0.3, (0.2, 0.8), (0, 4), (60, 98), 0.7),
    "tiny_face": FirstOrder(0.3, (0.2, 1.5), (0, 8), (40, 95), 0.9, scale=8),
    "phone": FirstOrder(0.2, (0.2, 0.7), (0, 6), (40, 90), 1.0),
    "video": FirstOrder(0.8, (0.4, 1.6), (0, 6), (12, 45), 1.0),
    "old-scan": OldScan((0.2, 1.6), (3, 18), (0.4, 1.0), 3, (60, 95)),
    "x4-mild": FirstOrder(0.0, (0.0, 0.0), (0, 0), (75, 75), modes=("bicubic",)),
    "x8": FirstOrder(0.0, (0.0, 0.0), (5, 5), (60, 60), modes=("area",), scale=8),
    "x16": FirstOrder(0.0, (0.0, 0.0), (5, 5), (60, 60), modes=("area",), scale=16),
    "realesrgan-x2": SecondOrder(_FIRST, _SECOND, 0.8, scale=2),
    "osediff": SecondOrder(_FIRST, _SECOND, 0.8),
    "osediff-face": BlindFace((1, 15), (1, 30), (0, 20), (30, 100)),
    "codeformer-stage2": BlindFace((1, 15), (4, 30), (0, 20), (30, 80)),
    "codeformer-stage3": BlindFace((0.1, 10), (1, 12), (0, 15), (60, 100)),
    "idfsr-x8": FirstOrder(0.0, (0.0, 0.0), (0, 0), (100, 100), 0.0, ("bicubic",), scale=8),
    "idfsr-x16": FirstOrder(0.0, (0.0, 0.0), (0, 0), (100, 100), 0.0, ("bicubic",), scale=16),
}
"""Published sets: `realesrgan` (x4plus; `-x2`: x2plus), `osediff` (its `params_realesrgan.yml`, the same numbers, which
HeadsUp takes, too), `osediff-face` (its `params_codeformer.yml`), `codeformer-stage2` and `-stage3` (its large and its
small degradation), `idfsr-x8` and `-x16` (the factor alone; the paper does not say how it reduces).
`web`, `tiny_face`, `phone`, `video`, `old-scan`: ranges for training. `x4-mild`, `x8`, `x16`: for measuring.

Differences from the published code: grey noise is made from the channels' mean, not from luma, and JPEG is a real
encoder at whole qualities."""


def degrade(image: torch.Tensor, degradation: Degradation | str, seed: int) -> torch.Tensor:
    """Degrade pictures `[B,3,H,W]` in 0..1 to `[B,3,H/scale,W/scale]`; the same seed gives the same result.

    Raises:
        ValueError: H or W is no multiple of the scale, or the named degradation is unknown.
    """
    chosen = find_degradation(degradation)
    height, width = image.shape[-2:]
    if height % chosen.scale or width % chosen.scale:
        raise ValueError(f"{width}x{height} is no multiple of the scale {chosen.scale}")
    return torch.cat([_degrade_one(one[None], chosen, np.random.default_rng([seed, i])) for i, one in enumerate(image)])


def enlarge(small: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic enlargement to `size`, as `restore()` does before encoding."""
    resized = F.interpolate(small, size=(size, size), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 1)


def find_degradation(degradation: Degradation | str) -> Degradation:
    """The parameters behind a name. Raises `ValueError` that lists the names."""
    if not isinstance(degradation, str):
        return degradation
    if degradation not in DEGRADATIONS:
        raise ValueError(f"degradation {degradation!r} is unknown: choose one of {', '.join(DEGRADATIONS)}")
    return DEGRADATIONS[degradation]


def _degrade_one(image: torch.Tensor, degradation: Degradation, rng: Rng) -> torch.Tensor:
    if isinstance(degradation, SecondOrder):
        return _second_order(image, degradation, rng)
    if isinstance(degradation, BlindFace):
        return _blind_face(image, degradation, rng)
    if isinstance(degradation, OldScan):
        return _old_scan(image, degradation, rng)
    return _first_order(image, degradation, rng)


def _first_order(image: torch.Tensor, params: FirstOrder, rng: Rng) -> torch.Tensor:
    height, width = image.shape[-2:]
    if rng.random() < params.blur_prob:
        image = _filter(image, random_blur_kernel(rng, params.blur_sigma, sinc_prob=0.0))
    mode = params.modes[rng.integers(len(params.modes))]
    small = resize_as(image, (height // params.scale, width // params.scale), mode, antialias=True)
    sigma = rng.uniform(*params.noise_range) / 255
    noise = torch.from_numpy(rng.standard_normal(tuple(small.shape), dtype=np.float32)).to(image.device)
    small = (small + sigma * noise).clamp(0, 1)
    if rng.random() < params.jpeg_prob:
        return jpeg(small, int(rng.uniform(*params.jpeg_range)))
    return _quantise(small)


def _blind_face(image: torch.Tensor, params: BlindFace, rng: Rng) -> torch.Tensor:
    height, width = image.shape[-2:]
    image = _filter(image, random_gaussian_kernel(rng, params.blur_sigma, params.kernel_size))
    factor = rng.uniform(*params.factor)
    size = (max(1, int(height / factor)), max(1, int(width / factor)))
    small = resize_as(image, size, "bilinear")
    noise = torch.from_numpy(rng.standard_normal(tuple(small.shape), dtype=np.float32)).to(image.device)
    small = (small + rng.uniform(*params.noise_range) / 255 * noise).clamp(0, 1)
    small = jpeg(small, int(rng.uniform(*params.jpeg_range)))
    return _quantise(resize_as(small, (height // params.scale, width // params.scale), "bilinear"))


def _old_scan(image: torch.Tensor, params: OldScan, rng: Rng) -> torch.Tensor:
    height, width = image.shape[-2:]
    image = _filter(image, random_gaussian_kernel(rng, params.blur_sigma, 13))
    small = resize_as(image, (height // params.scale, width // params.scale), _random_mode(rng), antialias=True)
    grain = torch.from_numpy(rng.standard_normal((1, 1, *small.shape[-2:]), dtype=np.float32)).to(image.device)
    grain = F.conv2d(grain, random_gaussian_kernel(rng, params.grain_size, 7)[None, None].to(grain), padding=3)
    grain = grain / grain.std().clamp_min(1e-6) * rng.uniform(*params.grain) / 255
    small = _scratched((small + grain).clamp(0, 1), params.scratches, rng)
    return jpeg(small, int(rng.uniform(*params.jpeg_range)))


def _scratched(image: torch.Tensor, most: int, rng: Rng) -> torch.Tensor:
    """Thin lines, nearly upright, and specks, light or dark."""
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=image.device, dtype=torch.float32)[None]
    for _ in range(int(rng.integers(most + 1))):
        at = rng.uniform(0, width) + rng.normal(0, 0.1) * rows
        line = torch.exp(-(((columns - at) / rng.uniform(0.3, 0.8)) ** 2)) * float(rng.uniform(0.1, 0.5))
        image = image + (float(rng.random() < 0.7) - image) * line
    for _ in range(int(rng.integers(2 * most + 1))):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.4, 1.6)
        speck = torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2) * float(rng.uniform(0.2, 0.8))
        image = image + (float(rng.random() < 0.6) - image) * speck
    return image


def _second_order(image: torch.Tensor, params: SecondOrder, rng: Rng) -> torch.Tensor:
    height, width = image.shape[-2:]
    target = (height // params.scale, width // params.scale)
    image = _stage(image, (height, width), params.first, rng)
    image = jpeg(image, int(rng.uniform(*params.first.jpeg_range)))
    image = _stage(image, target, params.second, rng)
    quality = int(rng.uniform(*params.second.jpeg_range))
    ringing = sinc_kernel(rng) if rng.random() < params.final_sinc_prob else None
    if rng.random() < 0.5:  # the published order of the last two steps is random
        image = resize_as(jpeg(image, quality), target, _random_mode(rng))
        return _quantise(image if ringing is None else _filter(image, ringing))
    image = resize_as(image, target, _random_mode(rng))
    return jpeg(image if ringing is None else _filter(image, ringing), quality)


def _stage(image: torch.Tensor, nominal: tuple[int, int], stage: StageParams, rng: Rng) -> torch.Tensor:
    """Blur, resize to `nominal` times a random factor, noise."""
    if rng.random() < stage.blur_prob:
        image = _filter(image, random_blur_kernel(rng, stage.blur_sigma, stage.sinc_prob))
    low, high = stage.resize_range
    factor = (rng.uniform(1, high), rng.uniform(low, 1), 1.0)[rng.choice(3, p=stage.resize_probs)]
    size = (max(1, int(nominal[0] * factor)), max(1, int(nominal[1] * factor)))
    return _add_noise(resize_as(image, size, _random_mode(rng)), stage, rng)


def _random_mode(rng: Rng) -> ResizeMode:
    modes: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
    return modes[rng.integers(3)]


def resize_as(image: torch.Tensor, size: tuple[int, int], mode: ResizeMode, *, antialias: bool = False) -> torch.Tensor:
    """Resize to (height, width); without antialiasing as published (aliasing is part of that degradation)."""
    if image.shape[-2:] == size:
        return image
    if mode == "area":
        return F.interpolate(image, size=size, mode="area")
    return F.interpolate(image, size=size, mode=mode, align_corners=False, antialias=antialias).clamp(0, 1)


def _filter(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Correlate every channel with `kernel` `[k,k]`, k odd."""
    radius = kernel.shape[-1] // 2
    channels, height, width = image.shape[-3:]
    mode = "reflect" if radius < min(height, width) else "replicate"
    padded = F.pad(image, (radius,) * 4, mode=mode)
    # one group for each channel: on a CPU three times as fast as the channels as a batch, with the same bits
    weight = kernel.to(image.device, image.dtype).expand(channels, 1, -1, -1).contiguous()
    return F.conv2d(padded, weight, groups=channels).clamp(0, 1)  # sinc overshoots


def _add_noise(image: torch.Tensor, stage: StageParams, rng: Rng) -> torch.Tensor:
    """Additive Gaussian or Poisson noise, sometimes the same in all channels."""
    grey = rng.random() < stage.grey_noise_prob
    if rng.random() < stage.gaussian_noise_prob:
        sigma = rng.uniform(*stage.noise_range) / 255
        shape = (1, 1, *image.shape[-2:]) if grey else tuple(image.shape)
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(image.device) * sigma
        return (image + noise).clamp(0, 1)
    source = image.mean(dim=1, keepdim=True) if grey else image
    levels = np.round(source.cpu().numpy() * 255) / 255
    values = 2 ** np.ceil(np.log2(max(2, len(np.unique(levels)))))
    noise = (rng.poisson(levels * values) / values - levels).astype(np.float32)
    return (image + torch.from_numpy(noise).to(image.device) * rng.uniform(*stage.poisson_scale)).clamp(0, 1)


def jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """`image` `[1,3,H,W]` in 0..1 after one JPEG compression at `quality` 1..100."""
    array = (image[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=quality)
    decoded = np.array(Image.open(buffer), dtype=np.float32) / 255
    return torch.from_numpy(decoded).permute(2, 0, 1)[None].to(image.device)


def _quantise(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round().clamp(0, 255) / 255
