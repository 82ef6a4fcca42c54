"""The critic of L_adv: a PatchGAN on aligned faces.

HeadsUp names no discriminator. This is pix2pix's (arXiv 1611.07004, 70 px patches) with the hinge loss, as CodeFormer
has it for faces, too, and spectral normalisation (arXiv 1802.05957) in place of batch statistics: batches of one
or two faces have none worth using.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from .companions import Companion, Restoration
from .loss_terms import hinge_critic, hinge_generator

SLOPE = 0.2


class PatchCritic(nn.Module):
    """Faces `[B,3,S,S]` in 0..1, S at least 32 -> scores `[B,1,h,w]`, one for each overlapping patch of 70 px.

    Args:
        width: channels of the first layer; doubled with each halving, up to eight times.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, stride in ((width, 2), (2 * width, 2), (4 * width, 2), (8 * width, 1)):
            layers += [spectral_norm(nn.Conv2d(channels, outputs, 4, stride, padding=1)), nn.LeakyReLU(SLOPE)]
            channels = outputs
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels, 1, 4, padding=1)))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return self.layers(faces * 2 - 1)


class FaceCritic(Companion):
    """L_adv: the critic of aligned faces, which learns beside the model."""

    def __init__(self, width: int, learning_rate: float, device: torch.device) -> None:
        super().__init__(PatchCritic(width).to(device), learning_rate, weight_decay=0.0, betas=(0.5, 0.999))

    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        return None if restored.faces is None else hinge_generator(self.network(restored.faces))

    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        if restored.faces is None or restored.true_faces is None:
            return None
        return hinge_critic(self.network(restored.true_faces), self.network(restored.faces.detach()))
