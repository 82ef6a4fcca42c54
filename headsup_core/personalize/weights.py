"""Copies of frozen networks that gradients can flow through."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from ..models.one_step import OneStepModel
from ..models.prompts import CachedPrompt

Network = TypeVar("Network", bound=nn.Module)


def normal_copy(network: Network, device: torch.device) -> Network:
    """`network` in float32 with frozen weights that autograd takes: those loaded under `inference_mode` it does not."""
    return copy.deepcopy(network, _normal_tensors([network], device)).eval()


def normal_model(model: OneStepModel, device: torch.device) -> OneStepModel:
    """The same of all networks of a one-step model, which stay as they belong together; with its default prompt."""
    prompt = CachedPrompt(model.prompt.embeddings(None).clone())
    return copy.deepcopy(replace(model, prompt=prompt), _normal_tensors(model.networks, device))


def _normal_tensors(networks: Sequence[nn.Module], device: torch.device) -> dict[int, Any]:
    """What `deepcopy` shall take for each tensor of `networks`, by its id."""
    made: dict[int, Any] = {}
    for network in networks:
        for weight in network.parameters():
            made[id(weight)] = nn.Parameter(_float(weight.detach(), device), requires_grad=False)
        for buffer in network.buffers():
            made[id(buffer)] = _float(buffer.detach(), device)
    return made


def _float(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    copied = tensor.clone().to(device)
    return copied.float() if copied.is_floating_point() else copied
