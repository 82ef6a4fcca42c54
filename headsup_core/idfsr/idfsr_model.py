"""`IDFSRModel`: the network with its record, asked for noise or for whole faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import InputError
from .conditioning import Seen
from .diffusion import STEPS, add_noise, sample, starting_noise, timesteps, velocity
from .network.idfsr_architecture import IDFSRArchitecture
from .network.idfsr_unet import IDFSRNetwork


@dataclass(frozen=True, eq=False)
class Attempt:
    """What one step of the diffusion taught.

    Attributes:
        loss: E || eps - eps_theta([x_t, I_M], t, z_s, z_id) ||^2 (IDFSR eq. 5), scalar; of a model that predicts
            velocity or residuals the same of those.
        faces: `[B,3,S,S]` in 0..1 that the step believes in, with a gradient; None unless residuals are predicted: of
            noise they are worth nothing where t is large.
    """

    loss: torch.Tensor
    faces: torch.Tensor | None


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
        """`attempt`'s loss alone."""
        return self.attempt(clean, seen, style, identity, chance).loss

    def attempt(
        self, clean: torch.Tensor, seen: Seen, style: torch.Tensor, identity: torch.Tensor, chance: torch.Generator
    ) -> Attempt:
        """One random step of the diffusion; of pretraining and of fitting.

        Args:
            clean: the true faces `[B,3,S,S]` in 0..1.
            style: of `style`.
            identity: z_id `[B,D]`.
            chance: on the CPU; t and eps are drawn from it, so that every device sees the same.
        """
        predicts, (base, spread) = self.architecture.predicts, self._origin(seen)
        taught = timesteps(self.architecture.steps, predicts) if predicts == "residual" else torch.arange(STEPS)
        timestep = taught[torch.randint(len(taught), (len(clean),), generator=chance)].to(clean.device)
        noise = torch.randn(clean.shape, generator=chance).to(clean)
        goal = (_signed(clean) - base) / spread
        noisy = add_noise(goal, noise, timestep)
        wanted = {"noise": lambda: noise, "velocity": lambda: velocity(goal, noise, timestep), "residual": lambda: goal}
        given = self.network(noisy, self._beside(seen), timestep, style, identity)
        faces = _unsigned(base + spread * given.float()) if predicts == "residual" else None
        return Attempt(F.mse_loss(given, wanted[predicts]()), faces)

    def taken(self, steps: int | None) -> int:
        """How many steps of DDIM are taken where so many are asked for; None: as many as the model's record says.

        A model that predicts residuals knows its own timesteps alone: it takes the most steps up to `steps` that fall
        on them, a divisor of the record's.

        Raises:
            InputError: no or too many steps.
        """
        own = self.architecture.steps
        steps = own if steps is None else steps
        if not 1 <= steps <= STEPS:
            raise InputError(f"{steps} steps: must be from 1 to {STEPS}")
        if self.architecture.predicts != "residual":
            return steps
        return next(fewer for fewer in range(min(steps, own), 0, -1) if own % fewer == 0)

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
            steps: of DDIM, as for `taken`.
            after: called after each step with the faces so far `[B,3,S,S]` in 0..1.

        Raises:
            InputError: no or too many steps, or an embedding of another width.
        """
        steps = self.taken(steps)
        if identity.shape[-1] != self.architecture.embedding:
            wanted = f"{self.architecture.embedding} ({self.architecture.embedder})"
            raise InputError(f"identity embedding of {identity.shape[-1]} values: this model takes {wanted}")
        style, beside, (base, spread) = self.style(seen), self._beside(seen), self._origin(seen)
        noise = starting_noise(len(seen.masked), seen.masked.shape[-1], seed).to(seen.masked)
        residual = self.architecture.predicts == "residual"

        def denoise(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            given = self.network(noisy.to(beside), beside, timestep, style, identity).float()
            return ((base + spread * given).clamp(-1, 1) - base) / spread if residual else given

        def shown(believed: torch.Tensor) -> None:
            if after is not None:
                after(_unsigned(base + spread * believed))

        return _unsigned(base + spread * sample(denoise, noise, steps, shown, self.architecture.predicts))

    def _origin(self, seen: Seen) -> tuple[torch.Tensor, float]:
        """What the diffused picture is measured from, in -1..1, and in which unit: x_0 = origin + unit * picture."""
        if self.architecture.predicts != "residual":
            return torch.zeros((), device=seen.warped.device), 1.0
        return _signed(seen.warped.float()), self.architecture.spread

    def _beside(self, seen: Seen) -> torch.Tensor:
        """What the UNet reads beside x_t."""
        sight = seen.warped if seen.sight is None else seen.sight
        parts = [seen.masked, sight] if self.architecture.sees_reference else [seen.masked]
        return torch.cat([_signed(part) for part in parts], dim=1)


def _signed(picture: torch.Tensor) -> torch.Tensor:
    return picture * 2 - 1


def _unsigned(picture: torch.Tensor) -> torch.Tensor:
    return ((picture + 1) / 2).clamp(0, 1)
