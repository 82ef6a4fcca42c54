"""Networks that learn beside the model and judge what it restores: what they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..processes import Processes


@dataclass(frozen=True, eq=False)
class Restoration:
    """What the model made of a batch, in fp32.

    Attributes:
        latent: x0 `[B,C,h,w]`, scaled, as the UNet gave it.
        picture: `[B,3,S,S]` around 0..1, decoded from it.
        prompts: of the true crops, `[B,n,D]`; None: the one of the training.
        truth: the true crops `[B,3,S,S]` in 0..1, None where nobody knows them.
        faces, true_faces: `[F,3,s,s]` in 0..1, aligned to the FFHQ template, of the samples that show a whole face;
            None without any, or where no loss asks for them.
    """

    latent: torch.Tensor
    picture: torch.Tensor
    faces: torch.Tensor | None = None
    true_faces: torch.Tensor | None = None
    truth: torch.Tensor | None = None
    prompts: torch.Tensor | None = None


class Companion(ABC):
    """A network with an optimizer of its own: one term of the model's loss, and one that it minimises itself.

    Args:
        network: all of its parameters that want a gradient are trained.
        learning_rate: AdamW's, constant.
        weight_decay: AdamW's.
        betas: AdamW's.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        weight_decay: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.network = network
        self.optimizer = torch.optim.AdamW(network.parameters(), learning_rate, betas, weight_decay=weight_decay)
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._gathered: list[torch.Tensor | None] | None = None

    @abstractmethod
    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        """What the model is told, scalar, with a gradient into `restored`; None: nothing to judge in this batch."""

    @abstractmethod
    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        """What the companion minimises, scalar, without a gradient into `restored`; None as for `term`."""

    def gather(
        self, restored: Restoration, chance: torch.Generator, processes: Processes, share: float = 1.0
    ) -> float | None:
        """Add the gradient of its own loss, times `share`, to what the next `step` goes along; the loss."""
        with processes.autocast():
            loss = self.own_loss(restored, chance)
        if loss is None:
            return None
        # kept apart from .grad: the model's backward pass goes through the network, too
        found = torch.autograd.grad(loss * share, self._trained, allow_unused=True)
        before = self._gathered or [None] * len(found)
        self._gathered = [_added(old, new) for old, new in zip(before, found, strict=True)]
        return float(loss.detach())

    def step(self, processes: Processes, grad_clip: float = math.inf) -> None:
        """One step along what was gathered since the last one; its norm is at most `grad_clip`."""
        self.optimizer.zero_grad(set_to_none=True)
        for parameter, gradient in zip(self._trained, self._gathered or [None] * len(self._trained), strict=True):
            parameter.grad = gradient
        self._gathered = None
        processes.average_gradients(self._trained)
        nn.utils.clip_grad_norm_(self._trained, grad_clip)
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _added(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    return b if a is None else a if b is None else a + b
