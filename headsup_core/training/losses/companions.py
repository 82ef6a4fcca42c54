"""Networks that learn beside the model and judge what it restores: what they share."""

from __future__ import annotations

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
        truth: the true crops `[B,3,S,S]` in 0..1, None where nobody knows them.
        faces, true_faces: `[F,3,s,s]` in 0..1, aligned to the FFHQ template, of the samples that show a whole face;
            None without any, or where no loss asks for them.
    """

    latent: torch.Tensor
    picture: torch.Tensor
    faces: torch.Tensor | None = None
    true_faces: torch.Tensor | None = None
    truth: torch.Tensor | None = None


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

    @abstractmethod
    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        """What the model is told, scalar, with a gradient into `restored`; None: nothing to judge in this batch."""

    @abstractmethod
    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        """What the companion minimises, scalar, without a gradient into `restored`; None as for `term`."""

    def learn(self, restored: Restoration, chance: torch.Generator, processes: Processes) -> float | None:
        """One step of its own; its loss."""
        with processes.autocast():
            loss = self.own_loss(restored, chance)
        self.optimizer.zero_grad(set_to_none=True)  # the model's backward pass went through the network, too
        if loss is not None:
            loss.backward()
        processes.average_gradients(self.network.parameters())
        self.optimizer.step()
        return None if loss is None else float(loss.detach())

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
