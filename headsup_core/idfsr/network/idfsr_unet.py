"""IDFSR's network: style encoder and noise-predicting UNet (arXiv 2508.10937, 3.2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from .idfsr_architecture import IDFSRArchitecture
from .idfsr_blocks import (
    Attention,
    Conditions,
    IdentityAttention,
    IdentityTokens,
    PlainResidual,
    Resize,
    StyledResidual,
    group_norm,
    zeroed,
)


class StyleEncoder(nn.Module):
    """E_s: the warped reference I_W as a vector z_s; the UNet's encoder half, without time."""

    def __init__(self, architecture: IDFSRArchitecture) -> None:
        super().__init__()
        groups, channels = architecture.groups, architecture.channels
        width = channels * architecture.encoder_multipliers[0]
        self.patch = architecture.patch
        blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(3 * self.patch**2, width, 3, padding=1))]
        last = len(architecture.encoder_multipliers) - 1
        for level, multiplier in enumerate(architecture.encoder_multipliers):
            for _ in range(architecture.residuals):
                layers: list[nn.Module] = [PlainResidual(width, channels * multiplier, groups)]
                width = channels * multiplier
                if level == architecture.attention_level:
                    layers.append(Attention(width, groups))
                blocks.append(nn.Sequential(*layers))
            if level < last:
                blocks.append(nn.Sequential(PlainResidual(width, width, groups, resize="down")))
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = nn.Sequential(
            PlainResidual(width, width, groups), Attention(width, groups), PlainResidual(width, width, groups)
        )
        self.out = nn.Sequential(
            group_norm(width, groups),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Conv2d(width, architecture.style, 1),
            nn.Flatten(),
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """`[B,3,S,S]` in -1..1 -> z_s `[B,style]`."""
        hidden = F.pixel_unshuffle(picture, self.patch)
        for block in self.input_blocks:
            hidden = block(hidden)
        return self.out(self.middle_block(hidden))


class Layers(nn.Sequential):
    """Layers of which each takes the conditions that it knows."""

    def run(self, hidden: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        """`[B,C,h,w]` through all layers."""
        for layer in self:
            if isinstance(layer, StyledResidual):
                hidden = layer(hidden, conditions)
            elif isinstance(layer, IdentityAttention):
                hidden = layer.attend(hidden, conditions.identity)
            else:
                hidden = layer(hidden)
        return hidden


class IDFSRNetwork(nn.Module):
    """eps_theta([x_t, I_M], t, z_s, z_id): everything that is trained.

    Names and order of the layers are those of DiffAE's checkpoints, `encoder` being its semantic encoder; ours are
    `identity_tokens` and the `identity` layers of the attention blocks.

    Attributes:
        checkpointing: blocks of the UNet keep their inputs only, and compute the rest anew for the gradient.
    """

    checkpointing: bool = False

    def __init__(self, architecture: IDFSRArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = StyleEncoder(architecture)
        embedding = nn.Sequential(
            nn.Linear(architecture.channels, architecture.time),
            nn.SiLU(),
            nn.Linear(architecture.time, architecture.time),
        )
        self.time_embed = nn.ModuleDict({"time_embed": embedding})
        self.identity_tokens = IdentityTokens(architecture.embedding, architecture.tokens, architecture.token_width)
        width = architecture.channels * architecture.multipliers[0]
        squared = architecture.patch**2
        blocks = [Layers(nn.Conv2d(architecture.inputs * squared, width, 3, padding=1))]
        kept = [width]
        last = len(architecture.multipliers) - 1
        for level, multiplier in enumerate(architecture.multipliers):
            for _ in range(architecture.residuals):
                blocks.append(self._level(width, multiplier, level))
                width = architecture.channels * multiplier
                kept.append(width)
            if level < last:
                blocks.append(Layers(self._residual(width, width, resize="down")))
                kept.append(width)
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = Layers(self._residual(width, width), self._attention(width), self._residual(width, width))
        blocks = []
        for level, multiplier in reversed(list(enumerate(architecture.multipliers))):
            for index in range(architecture.residuals + 1):
                block = self._level(width + kept.pop(), multiplier, level)
                width = architecture.channels * multiplier
                if level and index == architecture.residuals:
                    block.append(self._residual(width, width, resize="up"))
                blocks.append(block)
        self.output_blocks = nn.ModuleList(blocks)
        self.out = nn.Sequential(
            group_norm(width, architecture.groups), nn.SiLU(), zeroed(nn.Conv2d(width, 3 * squared, 3, padding=1))
        )

    def forward(
        self,
        noisy: torch.Tensor,
        seen: torch.Tensor,
        timestep: torch.Tensor,
        style: torch.Tensor,
        identity: torch.Tensor,
    ) -> torch.Tensor:
        """The noise in x_t.

        Args:
            noisy: x_t `[B,3,S,S]`.
            seen: what the UNet reads beside it, `[B,3,S,S]` or `[B,6,S,S]` in -1..1: I_M, perhaps I_W.
            timestep: `[B]` whole numbers in 0..999.
            style: z_s `[B,style]` of `encoder`.
            identity: z_id `[B,D]`, a recogniser's embedding or a fitted one.

        Returns:
            eps `[B,3,S,S]`, or v as the architecture says.
        """
        from diffusers.models.embeddings import get_timestep_embedding

        waves = get_timestep_embedding(
            timestep, self.architecture.channels, flip_sin_to_cos=True, downscale_freq_shift=0
        ).to(noisy.dtype)
        time = self.time_embed["time_embed"](waves)
        conditions = Conditions(time, style, self.identity_tokens(identity))
        hidden = F.pixel_unshuffle(torch.cat([noisy, seen], dim=1), self.architecture.patch)
        kept: list[torch.Tensor] = []
        for block in self.input_blocks:
            hidden = self._run(block, hidden, conditions)
            kept.append(hidden)
        hidden = self.middle_block.run(hidden, conditions)
        for block in self.output_blocks:
            hidden = self._run(block, torch.cat([hidden, kept.pop()], dim=1), conditions)
        return F.pixel_shuffle(self.out(hidden), self.architecture.patch)

    def _run(self, block: nn.Module, hidden: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        assert isinstance(block, Layers)  # noqa: S101 - narrows the type of a ModuleList's element
        if not self.checkpointing or not torch.is_grad_enabled():
            return block.run(hidden, conditions)
        computed: Any = checkpoint(block.run, hidden, conditions, use_reentrant=False)
        return computed

    def _level(self, inputs: int, multiplier: int, level: int) -> Layers:
        outputs = self.architecture.channels * multiplier
        layers: list[nn.Module] = [self._residual(inputs, outputs)]
        if level == self.architecture.attention_level:
            layers.append(self._attention(outputs))
        return Layers(*layers)

    def _residual(self, inputs: int, outputs: int, resize: Resize = "keep") -> StyledResidual:
        return StyledResidual(inputs, outputs, self.architecture, resize)

    def _attention(self, channels: int) -> IdentityAttention:
        return IdentityAttention(channels, self.architecture.groups, self.architecture.token_width)
