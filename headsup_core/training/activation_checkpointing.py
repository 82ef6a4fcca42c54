"""Gradient checkpointing for networks that adapters are attached to for the time of one call.

diffusers' own would compute a block anew in the backward pass, when the adapters' hooks are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

Hooks = list[tuple[nn.Module, list[Callable[..., Any]], list[Callable[..., Any]]]]
"""Layer, its forward hooks, its forward pre-hooks."""


def checkpoint_activations(network: nn.Module) -> None:
    """Have the blocks of a diffusers `network` keep their inputs only, and compute the rest anew for the gradient."""
    diffusers_network: Any = network
    diffusers_network.enable_gradient_checkpointing(_run)


def _run(block: nn.Module, *args: Any) -> Any:  # noqa: ANN401 - what the block takes and gives
    hooks = _hooks_of(block)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _attached_again(hooks)

    return checkpoint(block.__call__, *args, use_reentrant=False, context_fn=contexts)


def _hooks_of(block: nn.Module) -> Hooks:
    found: Hooks = []
    for layer in block.modules():
        parts: Any = layer
        after, before = list(parts._forward_hooks.values()), list(parts._forward_pre_hooks.values())
        if after or before:
            found.append((layer, after, before))
    return found


@contextmanager
def _attached_again(hooks: Hooks) -> Generator[None, None, None]:
    handles: list[Any] = []
    try:
        for layer, after, before in hooks:
            handles += [layer.register_forward_hook(hook) for hook in after]
            handles += [layer.register_forward_pre_hook(hook) for hook in before]
        yield
    finally:
        for handle in handles:
            handle.remove()
