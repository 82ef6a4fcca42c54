"""A critic on the features that LPIPS computes: Projected GANs (arXiv 2111.01007) with the squeezenet at hand.

The frozen network does the seeing; what is trained are small heads on several of its levels. Such a critic gives skin,
hair and beard their texture within minutes, where one that starts from pixels takes days. It sees whole crops at a
random phase of the network's strided grid, so that no fixed checkerboard can please it, and aligned faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from .companions import Companion, Restoration
from .loss_terms import hinge_critic, hinge_generator

LEVELS = (0, 1, 2, 4)
"""Which of LPIPS' seven squeezenet slices are judged, at 1/2, 1/4, 1/8 and 1/16 of the picture's size."""
CHANNELS = {0: 64, 1: 128, 2: 256, 3: 384, 4: 384, 5: 512, 6: 512}
WIDTH = 64
SLOPE = 0.2
PHASES = 16
"""Pixels after which the strided grid of the deepest level repeats."""

Features = list[torch.Tensor]


class FeatureHeads(nn.Module):
    """One head a level: convolutions of 1x1, 3x3 and 3x3 with spectral normalisation (arXiv 1802.05957).

    Args:
        levels: slices of the squeezenet, see `CHANNELS`.
    """

    def __init__(self, levels: Sequence[int] = LEVELS) -> None:
        super().__init__()
        self.heads = nn.ModuleList([_head(CHANNELS[level]) for level in levels])

    def forward(self, features: Features) -> Features:
        """Scores `[B,1,h,w]` of each level's features `[B,C,h,w]`."""
        return [head(each) for head, each in zip(self.heads, features, strict=True)]


def _head(channels: int) -> nn.Module:
    layers = (nn.Conv2d(channels, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 1, 3, padding=1))
    first, second, last = (spectral_norm(layer) for layer in layers)
    return nn.Sequential(first, nn.LeakyReLU(SLOPE), second, nn.LeakyReLU(SLOPE), last)


class FeatureCritic(Companion):
    """The heads, which learn beside the model.

    Args:
        lpips: of `perceptual.load_lpips` with the squeezenet; frozen.
        learning_rate: of the heads.

    Both losses are means over the levels, then over what is seen: the whole crops, and the aligned faces where a loss
    asks for them.
    """

    def __init__(self, lpips: nn.Module, learning_rate: float, device: torch.device) -> None:
        super().__init__(FeatureHeads().to(device), learning_rate, weight_decay=0.0, betas=(0.0, 0.99))
        self._lpips: Any = lpips

    def term(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        scores = [self.network(self._features(view)) for view in _views(restored.picture, restored.faces, chance)]
        return torch.stack([hinge_generator(level) for view in scores for level in view]).mean()

    def own_loss(self, restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        if restored.truth is None:
            return None
        phase = chance.get_state()
        true_views = _views(restored.truth, restored.true_faces, chance)
        chance.set_state(phase)  # the same phase: the critic compares pictures, not grids
        made_views = _views(restored.picture.detach(), _detached(restored.faces), chance)
        losses: Features = []
        for true, made in zip(true_views, made_views, strict=True):
            with torch.no_grad():
                seen = self._features(true), self._features(made)
            pairs = zip(*(self.network(features) for features in seen), strict=True)
            losses += [hinge_critic(real, fake) for real, fake in pairs]
        return torch.stack(losses).mean()

    def _features(self, picture: torch.Tensor) -> Features:
        slices = self._lpips.net(self._lpips.scaling_layer(picture * 2 - 1))
        return [slices[level] for level in LEVELS]


def _views(picture: torch.Tensor, faces: torch.Tensor | None, chance: torch.Generator) -> Features:
    """The crops at a random phase, and the faces."""
    down, right = torch.randint(0, PHASES, (2,), generator=chance).tolist()
    crops = picture[..., down:, right:]
    return [crops] if faces is None else [crops, faces]


def _detached(faces: torch.Tensor | None) -> torch.Tensor | None:
    return None if faces is None else faces.detach()
