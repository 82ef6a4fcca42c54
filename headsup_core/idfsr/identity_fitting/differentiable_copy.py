"""Copies of frozen networks that gradients can flow through."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def normal_copy(network: Network, device: torch.device) -> Network:
    """`network` in float32 with frozen weights that autograd takes: those loaded under `inference_mode` it does not."""
    made: dict[int, Any] = {}
    for weight in network.parameters():
        made[id(weight)] = nn.Parameter(_float(weight.detach(), device), requires_grad=False)
    for buffer in network.buffers():
        made[id(buffer)] = _float(buffer.detach(), device)
    return copy.deepcopy(network, made).eval()


def _float(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    copied = tensor.clone().to(device)
    return copied.float() if copied.is_floating_point() else copied
