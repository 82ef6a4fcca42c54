"""How one UNet prediction becomes the clean latent x0. The arithmetic is in fp32 at least.

At t = 999 of Stable Diffusion's schedule the prediction's error is amplified by sqrt(1 - abar)/sqrt(abar) = 14.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

SD_BETAS = (0.00085, 0.012)
SD_STEPS = 1000


class PredictionRule(Protocol):
    """Where on the noise schedule the UNet is asked, and what its answer means."""

    @property
    def timestep(self) -> int: ...

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Clean latent of `latent` and the UNet's `prediction`, both `[B,C,h,w]`; fp32."""
        ...


@dataclass(frozen=True)
class LatentResidual:
    """x0 = z - prediction (PiSA-SR; headsup-tiny)."""

    timestep: int = 1

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        return latent.float() - prediction.float()


@dataclass(frozen=True)
class Epsilon:
    """x0 = (z - sqrt(1 - abar) * eps) / sqrt(abar): HeadsUp's zH = (zL - beta * eps) / alpha, OSEDiff, HYPIR.

    Args:
        timestep: t of the one step.
        alpha_bar: cumulative product of (1 - beta) up to and including t.
        double: do the arithmetic in fp64 (OSDFace does); the result is fp32 all the same.
    """

    timestep: int
    alpha_bar: float
    double: bool = False

    @classmethod
    def at(
        cls, timestep: int, betas: tuple[float, float] = SD_BETAS, steps: int = SD_STEPS, *, double: bool = False
    ) -> Epsilon:
        """The rule at `timestep` of the `scaled_linear` schedule of Stable Diffusion."""
        return cls(timestep, float(alphas_bar(betas, steps)[timestep]), double)

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        alpha, beta = self.alpha_bar**0.5, (1.0 - self.alpha_bar) ** 0.5
        if self.double and latent.device.type != "mps":  # which has no fp64
            return ((latent.double() - beta * prediction.double()) / alpha).float()
        return (latent.float() - beta * prediction.float()) / alpha


def alphas_bar(betas: tuple[float, float] = SD_BETAS, steps: int = SD_STEPS) -> torch.Tensor:
    """abar_t of the `scaled_linear` schedule for t = 0 ... steps - 1, `[steps]`.

    Betas and their product are accumulated in fp32 as diffusers' schedulers do, for bit-equal constants.
    """
    beta = torch.linspace(betas[0] ** 0.5, betas[1] ** 0.5, steps, dtype=torch.float32, device="cpu") ** 2
    return torch.cumprod(1.0 - beta, dim=0)
