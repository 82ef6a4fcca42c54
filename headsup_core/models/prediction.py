"""How one UNet prediction becomes the clean latent x0. The arithmetic is in fp32 at least.

At t = 999 of Stable Diffusion's schedule the prediction's error is amplified by sqrt(1 - abar)/sqrt(abar) = 14.6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol

import torch

SD_BETAS = (0.00085, 0.012)
SD_STEPS = 1000


class PredictionRule(Protocol):
    """Where on the noise schedule the UNet is asked, and what its answer means."""

    kind: ClassVar[str]
    """Name in the header of a model file."""

    @property
    def timestep(self) -> int: ...

    def on_schedule(self, betas: tuple[float, float], steps: int) -> PredictionRule:
        """The same rule on the `scaled_linear` noise schedule of another base."""
        ...

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Clean latent of `latent` and the UNet's `prediction`, both `[B,C,h,w]`; fp32."""
        ...


@dataclass(frozen=True)
class LatentResidual:
    """x0 = z - prediction (PiSA-SR; headsup-tiny)."""

    timestep: int = 1
    kind: ClassVar[str] = "latent_residual"

    def on_schedule(self, betas: tuple[float, float], steps: int) -> LatentResidual:
        del betas, steps  # no noise takes part
        return self

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        return latent.float() - prediction.float()


@dataclass(frozen=True)
class Answer:
    """x0 = prediction: a network that gives the result itself, and no step of a diffusion."""

    timestep: int = 0
    kind: ClassVar[str] = "answer"

    def on_schedule(self, betas: tuple[float, float], steps: int) -> Answer:
        del betas, steps  # no noise takes part
        return self

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        del latent
        return prediction.float()


@dataclass(frozen=True)
class Epsilon:
    """x0 = (z - sqrt(1 - abar) * eps) / sqrt(abar): HeadsUp's zH = (zL - beta * eps) / alpha, OSEDiff, HYPIR.

    Attributes:
        timestep: t of the one step.
        betas, steps: ends and length of the `scaled_linear` noise schedule; Stable Diffusion's by default.
        double: do the arithmetic in fp64 on a CPU (OSDFace does); the result is fp32 all the same.
    """

    timestep: int
    betas: tuple[float, float] = SD_BETAS
    steps: int = SD_STEPS
    double: bool = False
    kind: ClassVar[str] = "epsilon"

    @cached_property
    def alpha_bar(self) -> float:
        """Cumulative product of (1 - beta) up to and including t."""
        return float(alphas_bar(self.betas, self.steps)[self.timestep])

    def on_schedule(self, betas: tuple[float, float], steps: int) -> Epsilon:
        return replace(self, betas=betas, steps=steps)

    def x0(self, latent: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        alpha, beta = self.alpha_bar**0.5, (1.0 - self.alpha_bar) ** 0.5
        if self.double and latent.device.type == "cpu":  # GPUs are slow in fp64, MPS has none
            return ((latent.double() - beta * prediction.double()) / alpha).float()
        return (latent.float() - beta * prediction.float()) / alpha


def alphas_bar(betas: tuple[float, float] = SD_BETAS, steps: int = SD_STEPS) -> torch.Tensor:
    """abar_t of the `scaled_linear` schedule for t = 0 ... steps - 1, `[steps]`.

    Betas and their product are accumulated in fp32 as diffusers' schedulers do, for bit-equal constants.
    """
    beta = torch.linspace(betas[0] ** 0.5, betas[1] ** 0.5, steps, dtype=torch.float32, device="cpu") ** 2
    return torch.cumprod(1.0 - beta, dim=0)
