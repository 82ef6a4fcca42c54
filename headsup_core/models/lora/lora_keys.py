"""Reading low-rank adapters from state dicts: PEFT's and diffusers' names, checked against the base's layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ModelFileError
from ..file_formats.weights_files import check_finite
from .branches import Adapter, Layer, LowRankBranch

_KEY = re.compile(
    r"^(?P<path>.+?)\.(?:lora_(?P<side>A|B|down|up)|lora\.(?P<old>down|up)|lora_linear_layer\.(?P<linear>down|up))"
    r"(?:\.(?P<adapter>[^.]+))?\.weight$"
)
ADAPTED_SUFFIXES = (
    "to_k", "to_q", "to_v", "to_out.0", "conv", "conv1", "conv2", "conv_shortcut", "conv_out", "proj_in", "proj_out",
    "ff.net.2", "ff.net.0.proj",
)  # fmt: skip
"""Layers of a Stable Diffusion UNet that the published systems adapt (OSEDiff and PiSA-SR also conv_in)."""


@dataclass(frozen=True)
class LoraKey:
    """A parsed name: `path` of the layer, `adapter` name ("" when unnamed), whether it is A (`down`)."""

    path: str
    adapter: str
    down: bool


@dataclass(frozen=True, eq=False)
class AdapterGroup:
    """Which tensors of a file are one group of adapters, and what they have to be.

    Attributes:
        rank: what the file says; None: what the tensors say, the same everywhere.
        alpha: scale = alpha / rank; None: scale 1.
        required: layers that must have a branch; None: whatever the file holds.
        adapters: which adapter names belong to the group.
        prefix: what names of this network begin with; others are left alone.
    """

    rank: int | None = None
    alpha: float | None = None
    required: Iterable[str] | None = None
    adapters: Callable[[str], bool] = lambda name: True
    prefix: str = ""


def parse_key(name: str) -> LoraKey | None:
    """The parts of a LoRA tensor's name, or None when it is none."""
    match = _KEY.match(name)
    if match is None:
        return None
    side = match["side"] or match["old"] or match["linear"]
    return LoraKey(match["path"], match["adapter"] or "", side in ("A", "down"))


def paths_by_suffix(network: nn.Module, suffixes: Iterable[str]) -> set[str]:
    """Linear and convolution layers whose path is or ends in one of `suffixes`, as PEFT matches them."""
    wanted = tuple(suffixes)
    return {
        path
        for path, layer in network.named_modules()
        if isinstance(layer, Layer) and any(path == end or path.endswith("." + end) for end in wanted)
    }


def read_adapter(
    tensors: Mapping[str, Any],
    network: nn.Module,
    file: Path,
    group: AdapterGroup,
    *,
    replaced: Mapping[str, torch.Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Adapter:
    """The branches of one group of adapters.

    Args:
        tensors: a state dict, which may hold other things as well.
        network: the base that the branches go beside.
        file: for messages.
        replaced: see `Adapter`.

    Raises:
        ModelFileError: a tensor is missing, fits no layer of the base, has another shape or rank, or is not finite:
            its name, what was found and what was expected.
    """
    prefix = group.prefix
    found: dict[str, dict[bool, tuple[str, torch.Tensor]]] = {}
    for name, tensor in tensors.items():
        key = parse_key(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if key is None or not group.adapters(key.adapter):
            continue
        if not isinstance(tensor, torch.Tensor):
            raise ModelFileError(f"{file}: {name} is a {type(tensor).__name__}, expected a tensor")
        if key.down in found.setdefault(key.path, {}):
            raise ModelFileError(f"{file}: {name} and {found[key.path][key.down][0]} both are for {key.path}")
        found[key.path][key.down] = (name, tensor)
    if missing := sorted(set(group.required or ()) - set(found)):
        raise ModelFileError(
            f"{file}: {len(missing)} of the adapted layers have no tensors, the first is {prefix}{missing[0]}: "
            f"expected {prefix}{missing[0]}.lora_A and .lora_B; the file is incomplete"
        )
    if not found:
        raise ModelFileError(f"{file}: holds no low-rank tensors (….lora_A…weight, ….lora_B…weight)")
    branches = {path: _branch(path, pair, network, file, group, dtype) for path, pair in found.items()}
    if group.rank is None and len(ranks := {branch.down.shape[0] for branch in branches.values()}) > 1:
        raise ModelFileError(f"{file}: layers have different ranks ({sorted(ranks)}), expected one")
    return Adapter(branches, {name: tensor.to(dtype) for name, tensor in (replaced or {}).items()})


def _branch(
    path: str,
    pair: Mapping[bool, tuple[str, torch.Tensor]],
    network: nn.Module,
    file: Path,
    group: AdapterGroup,
    dtype: torch.dtype,
) -> LowRankBranch:
    for down, side in ((True, "A (down)"), (False, "B (up)")):
        if down not in pair:
            raise ModelFileError(f"{file}: {path} has no LoRA {side}, only {pair[not down][0]}: the file is incomplete")
    layer = _find(network, path)
    if not isinstance(layer, Layer):
        what = "no such layer" if layer is None else f"a {type(layer).__name__}"
        raise ModelFileError(f"{file}: {pair[True][0]} is for {path}, but the base has {what} there: another base?")
    (down_name, down), (up_name, up) = pair[True], pair[False]
    own = group.rank if group.rank is not None else down.shape[0]
    if isinstance(layer, nn.Conv2d):
        shapes = (own, layer.in_channels, *layer.kernel_size), (layer.out_channels, own, 1, 1)
    else:
        shapes = (own, layer.in_features), (layer.out_features, own)
    for name, tensor, shape in ((down_name, down, shapes[0]), (up_name, up, shapes[1])):
        if tuple(tensor.shape) != shape:
            raise ModelFileError(f"{file}: {name} is {tuple(tensor.shape)}, expected {shape} (rank {own})")
        check_finite(name, tensor, file)
    return LowRankBranch(down.to(dtype), up.to(dtype), 1.0 if group.alpha is None else group.alpha / own)


def _find(network: nn.Module, path: str) -> nn.Module | None:
    try:
        return network.get_submodule(path)
    except AttributeError:
        return None
