"""Antialiased resizing, and the size that a scale or a long edge asks for."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..errors import InputError

RESIZE_MODES = ("bicubic", "area", "nearest")
MAX_SIDE = 65536
"""Longest side of a result in pixels."""


def resize(image: torch.Tensor, height: int, width: int, mode: str = "bicubic", *, clamp: bool = True) -> torch.Tensor:
    """Resize `image` `[B,C,H,W]` to `height` x `width`; the same tensor when that is its size already.

    Args:
        image: float; half precision is computed in float32 and returned in its own dtype.
        mode: "bicubic" (antialiased, a = -0.5 as Pillow has it), "area" (mean of the covered pixels) or "nearest".
        clamp: keep the result in 0..1, which bicubic overshoots; off for latents.

    Raises:
        InputError: unknown mode, or a size below 1.
    """
    if mode not in RESIZE_MODES:
        raise InputError(f"resize mode {mode!r}: use one of {', '.join(RESIZE_MODES)}")
    if height < 1 or width < 1 or 0 in image.shape:
        raise InputError(f"cannot resize {tuple(image.shape)} to {width}x{height}: every side must be at least 1 px")
    if image.shape[-2:] == (height, width):
        return image
    # torch's antialiased resampling has no half-precision kernels on the CPU
    source = image.to(torch.promote_types(image.dtype, torch.float32))
    if mode == "bicubic":
        result = F.interpolate(source, (height, width), mode="bicubic", antialias=True, align_corners=False)
    else:
        result = F.interpolate(source, (height, width), mode="area" if mode == "area" else "nearest-exact")
    return (result.clamp(0, 1) if clamp else result).to(image.dtype)


def output_size(
    height: int,
    width: int,
    *,
    scale: float | None = None,
    long_edge: int | None = None,
    max_megapixels: float | None = None,
) -> tuple[int, int]:
    """Size `(height, width)` in pixels of the result for a picture of `height` x `width`.

    Args:
        scale: both sides times this, rounded; or
        long_edge: the longer side in pixels, the other in proportion. Exactly one of the two.
        max_megapixels: cap in 10^6 pixels; a larger result shrinks in proportion until it fits. None or 0: no cap.

    Raises:
        InputError: both or neither given, a value that is zero, negative or not finite, an empty picture, or a side of
            the result above `MAX_SIDE`.
    """
    if height < 1 or width < 1:
        raise InputError(f"picture of {width}x{height} px: every side must be at least 1 px")
    if scale is not None and long_edge is None:
        if not 0 < scale <= MAX_SIDE:  # also refuses NaN
            raise InputError(f"scale {scale:g}: must be above 0 and at most {MAX_SIDE}, for instance 4")
        factor = scale
    elif long_edge is not None and scale is None:
        if not 1 <= long_edge <= MAX_SIDE:
            raise InputError(f"long edge {long_edge} px: must be from 1 to {MAX_SIDE}")
        factor = long_edge / max(height, width)
    else:
        raise InputError(f"scale {scale} and long edge {long_edge}: give exactly one of them")
    if max_megapixels is not None and not 0 <= max_megapixels < math.inf:
        raise InputError(f"cap of {max_megapixels:g} megapixels: must be 0 (no cap) or above, for instance 16")

    out_height, out_width = (max(1, math.floor(side * factor + 0.5)) for side in (height, width))
    if max_megapixels:
        out_height, out_width = _cap(out_height, out_width, max(1, int(max_megapixels * 1e6)))
    if max(out_height, out_width) > MAX_SIDE:
        raise InputError(
            f"{width}x{height} px would become {out_width}x{out_height}: at most {MAX_SIDE} px a side; "
            "lower the scale or set a megapixel cap"
        )
    return out_height, out_width


def _cap(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Shrink in proportion to at most `pixels`; a thin picture keeps 1 px and gives up length instead."""
    if height * width <= pixels:
        return height, width
    factor = math.sqrt(pixels / (height * width))
    height, width = max(1, math.floor(height * factor)), max(1, math.floor(width * factor))
    return max(1, min(height, pixels // width)), max(1, min(width, pixels // height))
