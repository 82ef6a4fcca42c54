"""The diffusion of IDFSR (3.1): 1000 steps of a linear schedule, noise (or velocity) prediction, DDIM with 20 steps.

Pictures are in -1..1. diffusers' `DDIMScheduler` computes it as guided-diffusion does: timesteps 0, 50 ... 950, and the
noise that belongs to the clipped x0. Residuals, our own form, have no range to be clipped to, and few steps: those are
taken from the end (999, 749, 499, 249), where x_t is noise and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from .network.idfsr_architecture import Prediction

STEPS = 1000
BETAS = (1e-4, 0.02)
GIVEN: Mapping[Prediction, Literal["epsilon", "v_prediction", "sample"]] = {
    "noise": "epsilon",
    "velocity": "v_prediction",
    "residual": "sample",
}
"""What a network gives, in diffusers' words."""
Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(x_t `[B,3,S,S]`, t `[B]`) -> the noise in it, the velocity, or x_0 itself (a residual), `[B,3,S,S]`."""


def alphas_bar() -> torch.Tensor:
    """The cumulative products of 1 - beta, `[1000]`."""
    return torch.cumprod(1 - torch.linspace(*BETAS, STEPS), dim=0)


def add_noise(clean: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, all `[B,3,S,S]`, t `[B]`."""
    kept = alphas_bar().to(clean)[timestep].view(-1, 1, 1, 1)
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def velocity(clean: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (arXiv 2202.00512), all `[B,3,S,S]`, t `[B]`."""
    kept = alphas_bar().to(clean)[timestep].view(-1, 1, 1, 1)
    return kept.sqrt() * noise - (1 - kept).sqrt() * clean


def sample(
    denoise: Denoise,
    noise: torch.Tensor,
    steps: int = 20,
    after: Callable[[torch.Tensor], None] | None = None,
    predicts: Prediction = "noise",
) -> torch.Tensor:
    """x_0 `[B,3,S,S]` from `noise` `[B,3,S,S]` by DDIM with eta = 0, in fp32; in -1..1 unless it is a residual.

    Args:
        after: called after each step with the x_0 that the step believes in.
        predicts: what `denoise` gives.
    """
    scheduler = _scheduler(predicts)
    scheduler.set_timesteps(steps)
    current, believed = noise.float(), noise
    for timestep in scheduler.timesteps:
        t = torch.full((len(noise),), int(timestep), device=noise.device, dtype=torch.long)
        predicted = denoise(current, t).float()
        taken = scheduler.step(predicted, timestep, current, eta=0.0, use_clipped_model_output=True)
        current, believed = taken.prev_sample, taken.pred_original_sample
        if after is not None:
            after(believed)
    return believed if predicts == "residual" else current


def timesteps(steps: int, predicts: Prediction = "noise") -> torch.Tensor:
    """Those that `sample` takes, `[steps]`, the noisiest first."""
    scheduler = _scheduler(predicts)
    scheduler.set_timesteps(steps)
    return scheduler.timesteps


def starting_noise(batch: int, size: int, seed: int) -> torch.Tensor:
    """x_T `[batch,3,size,size]`, the same for each picture of the batch and on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, size, size, generator=generator).expand(batch, -1, -1, -1)


def _scheduler(predicts: Prediction) -> Any:  # noqa: ANN401 - diffusers' own types are partial
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=STEPS,
        beta_start=BETAS[0],
        beta_end=BETAS[1],
        beta_schedule="linear",
        clip_sample=predicts != "residual",
        set_alpha_to_one=True,
        timestep_spacing="trailing" if predicts == "residual" else "leading",
        steps_offset=0,
        prediction_type=GIVEN[predicts],
    )
