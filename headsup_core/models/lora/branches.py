"""Low-rank adapters as branches beside untouched layers: y = W x + s * B(A x).

A network is never changed: an adapter's branches are attached to it with forward hooks for the time of one call. So
several systems share one base in memory, and each adapter is a small network of its own, to be placed on a device like
any other. Where a base has a single owner, `merge_into` adds the branches to its weights instead: W += s * B A.

The hooks are ours and not peft's: peft puts its own layers into the base and keeps every adapter in there, to move with
it between devices, and knows neither S3Diff's modulation by the picture nor a trained conv_in of more channels.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

Layer = nn.Linear | nn.Conv2d
Modulation = Mapping[str, torch.Tensor]
"""Module path -> `[batch, rank, rank]`, multiplied in between A and B (S3Diff)."""


class LowRankBranch(nn.Module):
    """s * B(A x) beside one layer.

    Args:
        down: A, `[r, in]` for a linear layer or `[r, in, kh, kw]` for a convolution.
        up: B, `[out, r]` or `[out, r, 1, 1]`.
        scale: s = alpha / r.
    """

    def __init__(self, down: torch.Tensor, up: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)
        self.scale = scale

    def add_to(self, output: torch.Tensor, layer: Layer, x: torch.Tensor, mix: torch.Tensor | None) -> torch.Tensor:
        """`output` of `layer` for its input `x`, plus the branch; `mix` is `[batch, r, r]` or None: (A x)^T mix."""
        if isinstance(layer, nn.Conv2d):
            x = _pad_like(layer, x)
            low = F.conv2d(x, self.down, None, layer.stride, _padding(layer), layer.dilation)
            if mix is not None:
                low = torch.einsum("bkhw,bkr->brhw", low, mix.to(low))
            return output + F.conv2d(low, self.up) * self.scale
        low = F.linear(x, self.down)
        if mix is not None:
            low = low @ mix.to(low)
        return output + F.linear(low, self.up) * self.scale

    def delta(self) -> torch.Tensor:
        """s * B A in fp32, shaped like the layer's weight."""
        down, up = self.down.float(), self.up.float()
        product = up.flatten(1) @ down.flatten(1)
        return self.scale * product.reshape(up.shape[0], *down.shape[1:])


class Adapter(nn.Module):
    """The branches of one adapter, and whole tensors that take the place of the base's.

    Args:
        branches: module path -> branch.
        replaced: parameter path -> tensor, for instance a trained `conv_in.weight`, of any number of input channels.
    """

    def __init__(
        self, branches: Mapping[str, LowRankBranch], replaced: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        super().__init__()
        self.paths = tuple(branches)
        self.branches = nn.ModuleList(branches.values())
        self.replaced_names = tuple(replaced or {})
        self.replaced = nn.ParameterList(
            [nn.Parameter(tensor, requires_grad=False) for tensor in (replaced or {}).values()]
        )

    def items(self) -> Iterator[tuple[str, LowRankBranch]]:
        """(module path, branch)."""
        for path, branch in zip(self.paths, self.branches, strict=True):
            if isinstance(branch, LowRankBranch):
                yield path, branch

    def replacements(self) -> dict[str, torch.Tensor]:
        """Parameter path -> tensor."""
        return dict(zip(self.replaced_names, self.replaced, strict=True))


@contextmanager
def attached(
    network: nn.Module, adapters: Sequence[Adapter], modulation: Modulation | None = None
) -> Generator[None, None, None]:
    """Within the block, calls of `network` go through the branches of `adapters`; their replacements do not count."""
    handles: list[Any] = []
    try:
        for adapter in adapters:
            for path, branch in adapter.items():
                mix = None if modulation is None else modulation[path]
                handles.append(network.get_submodule(path).register_forward_hook(_hook(branch, mix)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def call_adapted(
    network: nn.Module,
    adapters: Sequence[Adapter],
    modulation: Modulation | None,
    *args: Any,  # noqa: ANN401 - what the network takes
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - what the network gives
    """`network(*args, **options)` with branches and replaced tensors in force."""
    replaced: dict[str, torch.Tensor] = {}
    for adapter in adapters:
        replaced |= adapter.replacements()
    with attached(network, adapters, modulation):
        return functional_call(network, replaced, args, options) if replaced else network(*args, **options)


@torch.no_grad()
def merge_into(network: nn.Module, adapters: Sequence[Adapter]) -> None:
    """Add the branches to the weights of `network` in place, one rounding per weight, and copy replaced tensors.

    The sum of all deltas is made in fp32 before it is rounded to the weights' precision.

    Raises:
        ValueError: a replaced tensor has another shape than the base's (a wider conv_in): keep the branch.
    """
    sums: dict[str, torch.Tensor] = {}
    for adapter in adapters:
        for name, tensor in adapter.replacements().items():
            target = network.get_parameter(name)
            if target.shape != tensor.shape:
                raise ValueError(f"{name} is {tuple(tensor.shape)}, the base's {tuple(target.shape)}: cannot be merged")
            target.copy_(tensor)
        for path, branch in adapter.items():
            sums[path] = sums.get(path, 0) + branch.delta()
    for path, delta in sums.items():
        weight = network.get_parameter(f"{path}.weight")
        weight.copy_(weight.float() + delta.to(weight.device))


def _hook(branch: LowRankBranch, mix: torch.Tensor | None) -> Any:  # noqa: ANN401 - torch's hook type
    def add_branch(layer: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        if not isinstance(layer, Layer):
            raise TypeError(f"a low-rank branch beside a {type(layer).__name__}")
        return branch.add_to(output, layer, args[0], mix)

    return add_branch


def _pad_like(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """`x` padded as `layer` pads it when that is not with zeros."""
    if layer.padding_mode == "zeros":
        return x
    amounts: Any = layer._reversed_padding_repeated_twice  # pyright: ignore[reportPrivateUsage]
    return F.pad(x, amounts, mode=layer.padding_mode)


def _padding(layer: nn.Conv2d) -> Any:  # noqa: ANN401 - torch's padding type
    return layer.padding if layer.padding_mode == "zeros" else 0
