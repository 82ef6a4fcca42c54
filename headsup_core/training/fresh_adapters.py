"""Fresh low-rank adapters, as OSEDiff and HeadsUp begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from ..models.lora.branches import Adapter, Layer, LowRankBranch
from ..models.lora.lora_keys import ADAPTED_SUFFIXES, paths_by_suffix

DEFAULT_ALPHA = 8.0
"""PEFT's, which OSEDiff leaves as it is; the scale of a branch is alpha / rank."""
UNET_LAYERS = ADAPTED_SUFFIXES
ENCODER_LAYERS = (*ADAPTED_SUFFIXES, "conv_in")
"""Layers of the VAE's encoder; its `quant_conv` is adapted, too."""


def fresh_adapter(
    network: nn.Module,
    suffixes: Iterable[str],
    rank: int,
    scale: float,
    *,
    within: str = "",
    also: Iterable[str] = (),
    replaced: Mapping[str, torch.Tensor] | None = None,
) -> Adapter:
    """A trainable adapter that changes nothing yet: A normal with deviation 1 / rank (PEFT's "gaussian"), B zero.

    Draws from torch's global random state.

    Args:
        suffixes: layers whose path is or ends in one of them, and begins with `within`.
        scale: alpha / rank.
        also: paths of further layers.
        replaced: see `Adapter`.
    """
    found = {path for path in paths_by_suffix(network, suffixes) if path.startswith(within)} | set(also)
    branches = {path: _fresh_branch(network.get_submodule(path), rank, scale) for path in sorted(found)}
    return Adapter(branches, replaced).requires_grad_(True)


def _fresh_branch(layer: nn.Module, rank: int, scale: float) -> LowRankBranch:
    if not isinstance(layer, Layer):
        raise TypeError(f"a low-rank branch beside a {type(layer).__name__}")
    outputs, inputs, *kernel = layer.weight.shape
    down = torch.randn(rank, inputs, *kernel) / rank
    return LowRankBranch(down, torch.zeros(outputs, rank, *[1] * len(kernel)), scale)
