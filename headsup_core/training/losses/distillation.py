"""Variational score distillation as OSEDiff has it (arXiv 2406.08177, 3.3; Wang et al., arXiv 2305.16213).

The frozen diffusion model says how a restored latent should look among good pictures, a copy of it with a trainable
adapter how it looks among restored ones; the difference of their clean latents is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ...models.bases.base import Base
from ...models.lora.branches import Adapter, attached
from ...models.prediction import alphas_bar
from ...option_fields import check_fields, within
from ..fresh_adapters import DEFAULT_ALPHA, UNET_LAYERS, fresh_adapter
from .companions import Companion, Restoration

OSEDIFF_NEGATIVE = (
    "painting, oil painting, illustration, drawing, art, sketch, cartoon, CG Style, 3D render, unreal engine, "
    "blurring, dirty, messy, worst quality, low quality, frames, watermark, signature, jpeg artifacts, deformed, "
    "lowres, over-smooth"
)

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(noisy latents `[B,C,h,w]`, timesteps `[B]`) -> predicted noise."""


@dataclass(frozen=True)
class DistillationConfig:
    """Settings of the term; the numbers are OSEDiff's.

    Attributes:
        guidance: g of classifier-free guidance in the frozen model: n + g (p - n).
        low, high: timesteps are drawn from low..high - 1.
        negative: the prompt n.
        learning_rate: of the trainable copy's adapter.
        rank: of that adapter.
    """

    guidance: float = 7.5
    low: int = within(20, 0)
    high: int = within(980, 1)
    negative: str = OSEDIFF_NEGATIVE
    learning_rate: float = within(5e-5, 0)
    rank: int = within(4, 1)

    def __post_init__(self) -> None:
        check_fields(self, "distillation")


def add_noise(
    latent: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alpha_bars: torch.Tensor
) -> torch.Tensor:
    """z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps.

    Args:
        latent, noise: `[B,C,h,w]`.
        timesteps: `[B]`.
        alpha_bars: `[T]`.
    """
    bar = alpha_bars[timesteps].view(-1, 1, 1, 1)
    return bar.sqrt() * latent + (1 - bar).sqrt() * noise


def clean_latent(
    noisy: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alpha_bars: torch.Tensor
) -> torch.Tensor:
    """x0 = (z_t - sqrt(1 - abar_t) eps) / sqrt(abar_t); arguments as for `add_noise`."""
    bar = alpha_bars[timesteps].view(-1, 1, 1, 1)
    return (noisy - (1 - bar).sqrt() * noise) / bar.sqrt()


def distillation_gradient(latent: torch.Tensor, updated: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """(x0_update - x0_fix) / mean|z - x0_fix|, the mean over each latent; all `[B,C,h,w]`."""
    scale = (latent - fixed).abs().mean(dim=(1, 2, 3), keepdim=True)
    return (updated - fixed) / scale


def distillation_loss(latent: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """|z - stop(z - gradient)|^2 as a mean, scalar: its gradient in z is 2 `gradient` / (number of elements)."""
    return F.mse_loss(latent, (latent - gradient).detach())


def diffusion_loss(
    latent: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alpha_bars: torch.Tensor, denoise: Denoise
) -> torch.Tensor:
    """|eps(z_t, t) - eps|^2 as a mean, scalar, on latents that no gradient flows into."""
    noisy = add_noise(latent.detach(), noise, timesteps, alpha_bars)
    return F.mse_loss(denoise(noisy, timesteps).float(), noise)


class Distillation(Companion):
    """Frozen UNet, and a copy that is the same UNet with an adapter beside it.

    Args:
        base: its UNet is shared, on `device`, and never changed.
        prompt: text of p, what good pictures show, where a sample has none of its own.
    """

    def __init__(self, base: Base, prompt: str, config: DistillationConfig, device: torch.device) -> None:
        layers = (*UNET_LAYERS, "conv_in")
        self._copy = fresh_adapter(base.unet, layers, config.rank, DEFAULT_ALPHA / config.rank).to(device)
        super().__init__(self._copy, config.learning_rate)
        self.config = config
        self._unet: nn.Module = base.unet
        self._prompt, self._negative = (base.text.encode(text).to(device) for text in (prompt, config.negative))
        self._alpha_bars = alphas_bar(base.betas, base.steps).to(device)

    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor:
        latent, config = restored.latent, self.config
        timesteps = self._draw(config.low, config.high, len(latent), chance)
        with torch.no_grad():
            noisy = add_noise(latent, self._noise(latent, chance), timesteps, self._alpha_bars)
            prompt = self._prompt_of(restored)
            updated = self._unet_call(noisy, timesteps, prompt, (self._copy,))
            positive = self._unet_call(noisy, timesteps, prompt)
            negative = self._unet_call(noisy, timesteps, self._negative)
            guided = negative + config.guidance * (positive - negative)
            clean = [clean_latent(noisy, noise, timesteps, self._alpha_bars) for noise in (updated, guided)]
            gradient = distillation_gradient(latent, clean[0], clean[1])
        return distillation_loss(latent, gradient)

    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor:
        latent = restored.latent
        timesteps = self._draw(0, len(self._alpha_bars), len(latent), chance)

        def denoise(noisy: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            return self._unet_call(noisy, at, self._prompt_of(restored), (self._copy,))

        return diffusion_loss(latent, self._noise(latent, chance), timesteps, self._alpha_bars, denoise)

    def _prompt_of(self, restored: Restoration) -> torch.Tensor:
        """What good pictures show: that of each sample, or the one of the training."""
        return self._prompt if restored.prompts is None else restored.prompts

    def _unet_call(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        prompt: torch.Tensor,
        adapters: tuple[Adapter, ...] = (),
    ) -> torch.Tensor:
        hidden = prompt.expand(len(noisy), -1, -1)
        with attached(self._unet, adapters):
            return self._unet(noisy, timesteps, encoder_hidden_states=hidden, return_dict=False)[0].float()

    def _draw(self, low: int, high: int, count: int, chance: torch.Generator) -> torch.Tensor:
        return torch.randint(low, high, (count,), generator=chance).to(self._alpha_bars.device)

    def _noise(self, latent: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        return torch.randn(latent.shape, generator=chance).to(latent)
