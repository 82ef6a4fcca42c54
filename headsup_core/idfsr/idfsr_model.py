"""`IDFSRModel`: the network with its record, asked for noise or for whole faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import InputError
from .conditioning import Seen
from .diffusion import STEPS, add_noise, sample, starting_noise, velocity
from .network.idfsr_architecture import IDFSRArchitecture
from .network.idfsr_unet import IDFSRNetwork


@dataclass(frozen=True, eq=False)
class IDFSRModel:
    """Frozen, over shared weights.

    Attributes:
        model_id: of its file; names its fitted embeddings in `Identity.fitted`.
    """

    network: IDFSRNetwork
    architecture: IDFSRArchitecture
    model_id: str = "unsaved"

    def style(self, seen: Seen) -> torch.Tensor:
        """z_s `[B,style]` of the warped reference."""
        return self.network.encoder(_signed(seen.warped))

    def loss(
        self, clean: torch.Tensor, seen: Seen, style: torch.Tensor, identity: torch.Tensor, chance: torch.Generator
    ) -> torch.Tensor:
        """E || eps - eps_theta([x_t, I_M], t, z_s, z_id) ||^2 (IDFSR eq. 5), scalar; of pretraining and of fitting.

        Of a model that predicts velocity, the same of v.

        Args:
            clean: the true faces `[B,3,S,S]` in 0..1.
            style: of `style`.
            identity: z_id `[B,D]`.
            chance: on the CPU; t and eps are drawn from it, so that every device sees the same.
        """
        timestep = torch.randint(STEPS, (len(clean),), generator=chance).to(clean.device)
        noise = torch.randn(clean.shape, generator=chance).to(clean)
        noisy = add_noise(_signed(clean), noise, timestep)
        wanted = noise if self.architecture.predicts == "noise" else velocity(_signed(clean), noise, timestep)
        return F.mse_loss(self.network(noisy, self._beside(seen), timestep, style, identity), wanted)

    @torch.no_grad()
    def restore(
        self,
        seen: Seen,
        identity: torch.Tensor,
        seed: int = 0,
        steps: int | None = None,
        after: Callable[[torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        """Faces `[B,3,S,S]` in 0..1, the same for the same seed.

        Args:
            identity: z_id `[B,D]`.
            steps: of DDIM; None: as the model's record says.
            after: called after each step with the faces so far `[B,3,S,S]` in 0..1.

        Raises:
            InputError: no or too many steps, or an embedding of another width.
        """
        steps = self.architecture.steps if steps is None else steps
        if not 1 <= steps <= STEPS:
            raise InputError(f"{steps} steps: must be from 1 to {STEPS}")
        if identity.shape[-1] != self.architecture.embedding:
            wanted = f"{self.architecture.embedding} ({self.architecture.embedder})"
            raise InputError(f"identity embedding of {identity.shape[-1]} values: this model takes {wanted}")
        style, beside = self.style(seen), self._beside(seen)
        noise = starting_noise(len(seen.masked), seen.masked.shape[-1], seed).to(seen.masked)

        def denoise(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            return self.network(noisy.to(beside), beside, timestep, style, identity)

        def shown(believed: torch.Tensor) -> None:
            if after is not None:
                after(_unsigned(believed))

        return _unsigned(sample(denoise, noise, steps, shown, self.architecture.predicts))

    def _beside(self, seen: Seen) -> torch.Tensor:
        """What the UNet reads beside x_t."""
        sight = seen.warped if seen.sight is None else seen.sight
        parts = [seen.masked, sight] if self.architecture.sees_reference else [seen.masked]
        return torch.cat([_signed(part) for part in parts], dim=1)


def _signed(picture: torch.Tensor) -> torch.Tensor:
    return picture * 2 - 1


def _unsigned(picture: torch.Tensor) -> torch.Tensor:
    return ((picture + 1) / 2).clamp(0, 1)
