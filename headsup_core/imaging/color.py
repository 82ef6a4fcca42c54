"""Colour fixes: give a restored picture the colours of the one it came from, once for the whole picture.

- `adain` matches the mean and contrast of each channel: the published systems' default (OSEDiff, PiSA-SR). Global, so
  no halo is possible, but a local cast stays and an RGB contrast taken from a noisy or blurred input is passed on.
- `wavelet` takes everything coarser than some 30 px from the reference (S3Diff, HYPIR): removes local casts, but
  where the restored edge is sharper than the reference's, the difference comes back as a bright or dark rim.
- `lab` removes local colour casts as `wavelet` does, but only in the chroma a*, b*; brightness L* is matched by one
  gain and one offset for the whole picture, so no rim of light can form around people. The choice for portraits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import InputError
from .lab import lab_to_rgb, rgb_to_lab

_WAVELET_LEVELS = 5
_EPSILON = 1e-5


@dataclass(frozen=True)
class ColorFix:
    """One way to take colours back.

    Attributes:
        correct: picture and reference, both `[B,3,H,W]` in float32 or better -> `[B,3,H,W]`, which may leave 0..1.
        copies: further copies of the picture that are held at its peak, measured with torch's profiler at 256 px.
    """

    correct: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    copies: float


def apply_color_fix(image: torch.Tensor, reference: torch.Tensor, mode: str) -> torch.Tensor:
    """Correct the colours of `image` towards those of `reference`, each picture of the batch by itself.

    Args:
        image: restored, `[B,3,H,W]` in 0..1.
        reference: the upsampled input, of the same shape, in 0..1.
        mode: one of `COLOR_FIXES`; "none" only clamps.

    Returns:
        `[B,3,H,W]` in 0..1 in the dtype of `image`; computed in float32 or better.

    Raises:
        InputError: unknown mode, shapes that differ, or not three channels.
    """
    if mode not in FIXES:
        raise InputError(f"colour fix {mode!r}: use one of {', '.join(COLOR_FIXES)}")
    if image.shape != reference.shape or image.ndim != 4 or image.shape[1] != 3:
        raise InputError(
            f"colour fix of {tuple(image.shape)} with reference {tuple(reference.shape)}: "
            "both must be [B,3,H,W] of one size"
        )
    dtype = torch.promote_types(image.dtype, torch.float32)
    source, target = image.to(dtype), reference.to(image.device, dtype)
    return FIXES[mode].correct(source, target).clamp(0, 1).to(image.dtype)


def match_mean_std(image: torch.Tensor, measured: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Adaptive instance normalisation: the gain and offset per channel that give `measured` the mean and standard
    deviation of `reference`, applied to `image`; all `[B,C,H,W]`.

    As published: unbiased variance + 1e-5. A single pixel has variance 0.
    """
    correction = min(1, measured[0, 0].numel() - 1)
    var, mean = torch.var_mean(measured, dim=(2, 3), correction=correction, keepdim=True)
    wanted_var, wanted_mean = torch.var_mean(reference, dim=(2, 3), correction=correction, keepdim=True)
    gain = ((wanted_var + _EPSILON) / (var + _EPSILON)).sqrt()
    return (image - mean) * gain + wanted_mean


def match_low_frequencies(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """High frequencies of `image` plus low frequencies of `reference`, `[B,C,H,W]`.

    The details removed by the five levels of the published decomposition add up to `image - low(image)`, and the blur
    is linear, hence one blur of the difference does the work of two decompositions.
    """
    return image + low_frequencies(reference - image)


def low_frequencies(image: torch.Tensor) -> torch.Tensor:
    """What five blurs by [1 2 1; 2 4 2; 1 2 1] / 16, dilated 1, 2, 4, 8, 16 times, leave of `image` `[B,C,H,W]`.

    Borders are replicated, so any size works.
    """
    for level in range(_WAVELET_LEVELS):
        step = 2**level
        # Separable, and by slices rather than conv2d: TF32 would cost 3 digits of a picture's colour on a GPU.
        tall = F.pad(image, (0, 0, step, step), mode="replicate")
        image = (tall[..., : -2 * step, :] + tall[..., 2 * step :, :]).add_(image, alpha=2).mul_(0.25)
        wide = F.pad(image, (step, step, 0, 0), mode="replicate")
        image = (wide[..., : -2 * step] + wide[..., 2 * step :]).add_(image, alpha=2).mul_(0.25)
    return image


def _match_lab(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The `lab` fix of `[B,3,H,W]`; the result may leave 0..1.

    L*' = L* gain + offset, with the gain and offset measured on the low frequencies, which neither the reference's
    noise and blur nor the restored detail reach; (a*, b*)' = high(a*, b* of image) + low(a*, b* of reference).
    """
    lab, wanted = rgb_to_lab(image), rgb_to_lab(reference)
    # in 0..1 like the RGB channels, so that the variance's epsilon means the same
    lightness, wanted_lightness = lab[:, :1] / 100, wanted[:, :1] / 100
    lightness = match_mean_std(lightness, low_frequencies(lightness), low_frequencies(wanted_lightness))
    chroma = match_low_frequencies(lab[:, 1:], wanted[:, 1:])
    return lab_to_rgb(torch.cat((lightness * 100, chroma), dim=1))


FIXES: Mapping[str, ColorFix] = {
    "none": ColorFix(lambda image, _: image, 1.0),
    "adain": ColorFix(lambda image, reference: match_mean_std(image, image, reference), 2.0),
    "wavelet": ColorFix(match_low_frequencies, 4.3),
    "lab": ColorFix(_match_lab, 10.9),
}
"""The colour fixes by name; a new one is a function and a line here."""
COLOR_FIXES = tuple(FIXES)
