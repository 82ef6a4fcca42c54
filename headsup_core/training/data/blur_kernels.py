"""Blur kernels of Real-ESRGAN's degradation: Gaussian, generalised Gaussian, plateau (each also anisotropic), sinc."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

KINDS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
KIND_PROBS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
KERNEL_SIZES = tuple(range(7, 22, 2))

Array = NDArray[np.float64]


def random_blur_kernel(rng: np.random.Generator, sigma: tuple[float, float], sinc_prob: float) -> torch.Tensor:
    """A kernel `[k,k]`, k odd in 7..21, sum 1, of a random kind with the published probabilities."""
    size = int(rng.choice(KERNEL_SIZES))
    if rng.random() < sinc_prob:
        lowest = np.pi / 3 if size < 13 else np.pi / 5
        return _tensor(_sinc(rng.uniform(lowest, np.pi), size))
    return _blur_kernel(rng, str(rng.choice(KINDS, p=KIND_PROBS)), sigma, size)


def random_gaussian_kernel(rng: np.random.Generator, sigma: tuple[float, float], size: int) -> torch.Tensor:
    """A Gaussian `[size,size]`, sum 1, isotropic half the time: the faces' blur of GFPGAN and CodeFormer."""
    return _blur_kernel(rng, "iso" if rng.random() < 0.5 else "aniso", sigma, size)


def _blur_kernel(rng: np.random.Generator, kind: str, sigma: tuple[float, float], size: int) -> torch.Tensor:
    sigma_x = rng.uniform(*sigma)
    isotropic = not kind.endswith("aniso")
    sigma_y = sigma_x if isotropic else rng.uniform(*sigma)
    angle = 0.0 if isotropic else rng.uniform(-np.pi, np.pi)
    distance = _mahalanobis(size, sigma_x, sigma_y, angle)
    if kind.startswith("generalized"):
        return _tensor(np.exp(-0.5 * distance ** _shape(rng, 0.5, 4.0)))
    if kind.startswith("plateau"):
        return _tensor(1 / (distance ** _shape(rng, 1.0, 2.0) + 1))
    return _tensor(np.exp(-0.5 * distance))


def sinc_kernel(rng: np.random.Generator) -> torch.Tensor:
    """The final sinc filter `[k,k]`: cut-off uniform in pi/3..pi, which leaves ringing and overshoot."""
    return _tensor(_sinc(rng.uniform(np.pi / 3, np.pi), int(rng.choice(KERNEL_SIZES))))


def _shape(rng: np.random.Generator, low: float, high: float) -> float:
    """Shape exponent: below or above 1 with equal probability."""
    return rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)


def _mahalanobis(size: int, sigma_x: float, sigma_y: float, angle: float) -> Array:
    """Squared distance from the centre in units of sigma, axes rotated by `angle`."""
    axis = np.arange(size) - size // 2
    x, y = np.meshgrid(axis, axis)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = -np.sin(angle) * x + np.cos(angle) * y
    return (along / sigma_x) ** 2 + (across / sigma_y) ** 2


def _sinc(cutoff: float, size: int) -> Array:
    """Circular low-pass filter of `cutoff` rad per pixel."""
    axis = np.arange(size) - size // 2
    radius = np.hypot(*np.meshgrid(axis, axis))
    radius[size // 2, size // 2] = 1.0
    # here, since the nodes import fitting, whose losses come with this, and loading the pack shall load no SciPy
    from scipy.special import j1  # pyright: ignore[reportMissingTypeStubs, reportAttributeAccessIssue]

    kernel: Array = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    return kernel


def _tensor(kernel: Array) -> torch.Tensor:
    return torch.from_numpy((kernel / kernel.sum()).astype(np.float32))
