"""The blocks of IDFSR's UNet and style encoder: guided-diffusion's residual and attention blocks, conditioned.

Layers are named as in DiffAE's checkpoints (phizaz/diffae), which the paper starts from. diffusers has no block whose
normalisation is modulated by time and by a style vector at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from .idfsr_architecture import IDFSRArchitecture

Resize = Literal["keep", "down", "up"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the blocks of the UNet are conditioned on.

    Attributes:
        time: `[B,E]`, the embedded timestep.
        style: `[B,S]`, z_s of the warped reference.
        identity: `[B,n,W]`, the tokens of z_id.
    """

    time: torch.Tensor
    style: torch.Tensor
    identity: torch.Tensor


class StyledResidual(nn.Module):
    """A residual block whose second normalisation is AdaGN (IDFSR 3.2; DiffAE, arXiv 2111.15640, eq. 7).

    The paper writes z_f * (t_s * GroupNorm(h) + t_b), z_f = MLP(z_s), (t_s, t_b) = MLP(t). As in DiffAE the two MLPs
    give the factors as offsets from 1, (1 + z_f) * ((1 + t_s) * GroupNorm(h) + t_b), so that its weights fit.

    Args:
        architecture: has the widths of the two conditions, the groups and the dropout.
    """

    def __init__(self, inputs: int, outputs: int, architecture: IDFSRArchitecture, resize: Resize = "keep") -> None:
        super().__init__()
        self.resize: Resize = resize
        groups = architecture.groups
        self.in_layers = nn.Sequential(group_norm(inputs, groups), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(architecture.time, 2 * outputs))
        self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(architecture.style, outputs))
        self.out_layers = nn.Sequential(
            group_norm(outputs, groups),
            nn.SiLU(),
            nn.Dropout(architecture.dropout),
            zeroed(nn.Conv2d(outputs, outputs, 3, padding=1)),
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, hidden: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        """`[B,inputs,h,w]` -> `[B,outputs,h',w']`, h' = h, h/2 or 2h."""
        norm, activation, convolution = self.in_layers
        branch = convolution(resized(activation(norm(hidden)), self.resize))
        scale, shift = rearrange(self.emb_layers(conditions.time), "b (two c) -> two b c 1 1", two=2)
        style = rearrange(self.cond_emb_layers(conditions.style), "b c -> b c 1 1")
        normalised = self.out_layers[0](branch)
        modulated = (1 + style) * ((1 + scale) * normalised + shift)
        return self.skip_connection(resized(hidden, self.resize)) + self.out_layers[1:](modulated)


class PlainResidual(nn.Module):
    """DiffAE's unconditioned residual block, of the style encoder: one convolution."""

    def __init__(self, inputs: int, outputs: int, groups: int, resize: Resize = "keep") -> None:
        super().__init__()
        self.resize: Resize = resize
        self.in_layers = nn.Sequential(group_norm(inputs, groups), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[B,inputs,h,w]` -> `[B,outputs,h',w']`, h' = h or h/2."""
        norm, activation, convolution = self.in_layers
        branch = convolution(resized(activation(norm(hidden)), self.resize))
        return self.skip_connection(resized(hidden, self.resize)) + branch


class Attention(nn.Module):
    """Self-attention between places, one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[B,C,h,w]` -> `[B,C,h,w]`."""
        height = hidden.shape[-2]
        flat = rearrange(hidden, "b c h w -> b c (h w)")
        query, key, value = rearrange(self.qkv(self.norm(flat)), "b (three c) n -> three b n c", three=3)
        seen = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        return rearrange(flat + self.proj_out(seen.mT), "b c (h w) -> b c h w", h=height)


class IdentityAttention(Attention):
    """Self-attention, then cross-attention to the identity's tokens (IDFSR 3.2), one head.

    The paper says "cross-attention in the attention modules" and no more: ours has its own normalisation and
    projections beside DiffAE's layers, and its output starts at zero, so that an untrained one changes nothing.

    Args:
        token_width: W of the tokens.
    """

    def __init__(self, channels: int, groups: int, token_width: int) -> None:
        super().__init__(channels, groups)
        self.identity = nn.ModuleDict(
            {
                "norm": group_norm(channels, groups),
                "to_q": nn.Conv1d(channels, channels, 1),
                "to_kv": nn.Linear(token_width, 2 * channels),
                "to_out": zeroed(nn.Conv1d(channels, channels, 1)),
            }
        )

    def attend(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """`[B,C,h,w]` and tokens `[B,n,W]` -> `[B,C,h,w]`."""
        hidden = self(hidden)
        height = hidden.shape[-2]
        flat = rearrange(hidden, "b c h w -> b c (h w)")
        query = self.identity["to_q"](self.identity["norm"](flat)).mT
        key, value = self.identity["to_kv"](tokens).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        return rearrange(flat + self.identity["to_out"](seen.mT), "b c (h w) -> b c h w", h=height)


class IdentityTokens(nn.Module):
    """z_id `[B,D]`, a recogniser's embedding, as n tokens `[B,n,W]`.

    The paper names neither their number nor the projection. Several tokens let a place choose what of the identity it
    takes; one would be the same everywhere. Recognisers place all people in a narrow cone (two strangers' dlib
    embeddings have a cosine of about 0.8), so embeddings are first brought to mean 0 and variance 1 over the training's
    people, which a file keeps in `mean` and `scale`.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, embedding: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.register_buffer("mean", torch.zeros(embedding))
        self.register_buffer("scale", torch.full((embedding,), 1 / math.sqrt(embedding)))
        self.project = nn.Sequential(
            nn.Linear(embedding, tokens * width), nn.SiLU(), nn.Linear(tokens * width, tokens * width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """`[B,D]` -> `[B,n,W]`."""
        projected = self.project((embedding - self.mean) / self.scale)
        return self.norm(rearrange(projected, "b (n w) -> b n w", n=self.tokens))


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """With `groups` groups, or as many as divide `channels`."""
    return nn.GroupNorm(math.gcd(groups, channels), channels)


def zeroed(layer: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """`layer`, giving zeros until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def resized(hidden: torch.Tensor, resize: Resize) -> torch.Tensor:
    """Halved by averaging, doubled by repeating, or as it is."""
    if resize == "down":
        return F.avg_pool2d(hidden, 2)
    return F.interpolate(hidden, scale_factor=2.0, mode="nearest") if resize == "up" else hidden
