"""NIQE, quality without a truth (Mittal, Soundararajan, Bovik, "Making a 'Completely Blind' Image Quality Analyzer").

Lower is better. It rewards invented texture: compare it with the figures that know the truth.
It is our own code because pyiqa, which has it, is for non-commercial use only, and piq and scikit-image do not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...errors import ModelFileError
from .metric import FileOption, Measure, Metric, NotMeasured, Style, luma

Array = np.ndarray[Any, np.dtype[np.float64]]

BLOCK = 96
"""Side of the blocks in pixels; half of it at the second scale."""
FEATURES = 36
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns to the neighbours whose products are looked at: H, V, D1, D2 of eq. 8."""
_SHAPES = np.arange(0.2, 10.001, 0.001)


@cache
def _ratios() -> Array:
    """Ratio of (mean |x|)^2 to mean x^2 for each of `_SHAPES` of a generalised Gaussian; grows with the shape."""
    from scipy.special import gamma

    return gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))


@dataclass(frozen=True, eq=False)
class Niqe:
    """The multivariate Gaussian of natural pictures, and the measure against it.

    Attributes:
        mean, covariance: `[36]` and `[36,36]`.
        window: `[7,7]`, the local Gaussian weighting.
    """

    mean: Array
    covariance: Array
    window: Array

    @classmethod
    def from_file(cls, path: Path) -> Niqe:
        """The published parameters as `.npz`: `mu_pris_param`, `cov_pris_param`, `gaussian_window`.

        Raises:
            ModelFileError: missing, or not such a file.
        """
        if not path.is_file():
            raise ModelFileError(f"NIQE needs its pristine parameters as a local file: {path} is missing")
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance, window = (
                    np.asarray(file[name], np.float64)
                    for name in ("mu_pris_param", "cov_pris_param", "gaussian_window")
                )
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise ModelFileError(f"{path} does not hold NIQE's parameters: {error}") from error
        if mean.size != FEATURES or covariance.shape != (FEATURES, FEATURES) or window.ndim != 2:
            raise ModelFileError(
                f"{path}: mean {mean.shape}, covariance {covariance.shape}: expected {FEATURES} and its square"
            )
        return cls(mean.ravel(), covariance, window)

    def measure(self, y: torch.Tensor) -> float | None:
        """Distance (eq. 10) of the luma `[1,1,H,W]` in 0..1, whole blocks from its upper left corner on.

        None without two blocks of 96 px that have texture: one alone has no covariance.
        """
        height, width = (side // BLOCK * BLOCK for side in y.shape[-2:])
        if height * width < 2 * BLOCK**2:
            return None
        levels = (y[0, 0, :height, :width].double() * 255).round()
        scales = [block_features(levels.numpy(), self.window, BLOCK)]
        scales.append(block_features(halved(levels).numpy(), self.window, BLOCK // 2))
        features = np.concatenate(scales, axis=1)
        usable = features[np.isfinite(features).all(axis=1)]
        if len(usable) < 2:
            return None
        middle = np.nanmean(np.where(np.isfinite(features), features, np.nan), axis=0)
        difference = self.mean - middle
        pooled = np.linalg.pinv((self.covariance + np.cov(usable, rowvar=False)) / 2)
        return float(np.sqrt(difference @ pooled @ difference))


def halved(levels: torch.Tensor) -> torch.Tensor:
    """Antialiased bicubic reduction by 2 of `[H,W]`, mirrored beyond the border as MATLAB's `imresize` does."""
    rows, columns = (torch.arange(-4, side + 4) for side in levels.shape)
    rows, columns = (
        torch.where(index < 0, -1 - index, torch.where(index >= side, 2 * side - 1 - index, index))
        for index, side in zip((rows, columns), levels.shape, strict=True)
    )
    mirrored = levels[rows][:, columns][None, None]
    size = [side // 2 for side in mirrored.shape[-2:]]
    return F.interpolate(mirrored, size, mode="bicubic", antialias=True, align_corners=False)[0, 0, 2:-2, 2:-2]


def block_features(levels: Array, window: Array, block: int) -> Array:
    """`[blocks,18]`: of each block the shape of its normalised luma (eq. 1) and of products of neighbours (eq. 8)."""
    from scipy.ndimage import correlate  # here, since every command line reads this file, and few measure
    from scipy.special import gamma

    local = correlate(levels, window, mode="nearest")
    deviation = np.sqrt(np.abs(correlate(levels**2, window, mode="nearest") - local**2))
    normalised = (levels - local) / (deviation + 1)
    rows, columns = (side // block for side in levels.shape)
    blocks = normalised.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(-1, block, block)
    shape, left, right = asymmetric_gaussian(blocks)
    found = [shape, (left + right) / 2]
    for offset in NEIGHBOURS:
        shape, left, right = asymmetric_gaussian(blocks * np.roll(blocks, offset, axis=(1, 2)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.stack(found, axis=1)


def asymmetric_gaussian(blocks: Array) -> tuple[Array, Array, Array]:
    """Shape, left and right scale of an asymmetric generalised Gaussian (eq. 4) by moments, for each of `[n,h,w]`.

    NaN where a block has no value on one side of zero.
    """
    from scipy.special import gamma

    flat = blocks.reshape(len(blocks), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (
            np.sqrt(np.where(side, flat**2, 0).sum(axis=1) / side.sum(axis=1)) for side in (flat < 0, flat > 0)
        )
        skew = left / right
        ratio = np.abs(flat).mean(axis=1) ** 2 / (flat**2).mean(axis=1)
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    ratios = _ratios()
    above = np.clip(np.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    nearest = above - (np.abs(ratios[above - 1] - ratio) <= np.abs(ratios[above] - ratio))
    shape = _SHAPES[nearest]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def _make(file: Path | None) -> Measure:
    if file is None:
        raise NotMeasured("it needs its pristine parameters")
    pristine = Niqe.from_file(file)

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float | None:
        del truth
        return pristine.measure(luma(result))

    return measure


NIQE = Metric("niqe", Style("-", 2), _make, FileOption("--niqe", "NPZ", "NIQE's pristine parameters"))
