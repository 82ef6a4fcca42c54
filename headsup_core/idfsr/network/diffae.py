"""DiffAE's published weights (phizaz/diffae, MIT) as a start, as the paper does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ...errors import ModelFileError
from ...models.file_formats.weights_files import check_finite, read_weights
from .idfsr_unet import IDFSRNetwork

CONV_IN = "input_blocks.0.0.weight"
OURS = ("identity_tokens.", ".identity.")
"""Layers that DiffAE does not have: they keep their start, at which they change nothing."""
PREFIXES = ("ema_model.", "model.")
"""Starts of a checkpoint's names, the one that is taken first; it also holds samplers' noise and statistics."""
UNUSED = ("latent_net.",)
"""DiffAE's prior over z_s: nothing is sampled from it here."""


def load_diffae(network: IDFSRNetwork, path: Path) -> None:
    """Fill UNet and style encoder of `network` with the averaged weights of a DiffAE checkpoint.

    The first convolution's filters go to x_t; I_M's (and I_W's) are zero, so that what the network computes does not
    change until it is trained.

    Args:
        network: of DiffAE's size, `architecture.FFHQ128` or `FFHQ256`.
        path: `last.ckpt`, read without running code, or a `.safetensors` of its tensors.

    Raises:
        ModelFileError: unreadable, or its tensors are not those of this size; which, and what was expected.
    """
    content = read_weights(path).content
    nested = content.get("state_dict", content)
    take_diffae(network, nested if isinstance(nested, Mapping) else {}, path)


def take_diffae(network: IDFSRNetwork, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """As `load_diffae`, with the tensors already in memory; `path` is for messages."""
    prefix = next((one for one in PREFIXES if any(name.startswith(one) for name in tensors)), "")
    given = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    given = {name: value for name, value in given.items() if not name.startswith(UNUSED)}
    own = network.state_dict()
    expected = {name for name in own if not any(part in name for part in OURS)}
    if missing := sorted(expected - set(given)):
        raise ModelFileError(
            f"{path}: {len(missing)} of {len(expected)} tensors are missing, the first is {missing[0]} "
            f"{tuple(own[missing[0]].shape)}: DiffAE's FFHQ128 or FFHQ256 autoencoder is expected"
        )
    if unexpected := sorted(set(given) - expected):
        raise ModelFileError(f"{path}: {len(unexpected)} tensors fit nowhere, the first is {unexpected[0]}")
    taken: dict[str, torch.Tensor] = {}
    for name in sorted(expected):
        check_finite(name, given[name], path)
        taken[name] = _widened(given[name].float(), own[name]) if name == CONV_IN else given[name].float()
        if taken[name].shape != own[name].shape:
            shapes = f"{tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
            raise ModelFileError(f"{path}: {name} is {shapes}: another size of DiffAE?")
    network.load_state_dict(own | taken)


def _widened(filters: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """`filters` `[C,3,3,3]` with zeros for further inputs, as many as `wanted` has."""
    if filters.shape[1] >= wanted.shape[1]:
        return filters
    further = filters.new_zeros(filters.shape[0], wanted.shape[1] - filters.shape[1], *filters.shape[2:])
    return torch.cat([filters, further], dim=1)
