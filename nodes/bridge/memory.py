"""How our networks take part in ComfyUI's memory management."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .comfy import ModelPatcher, model_management, model_patcher

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATCHER = "_headsup_patcher"


class WholePatcher(ModelPatcher):
    """A `ModelPatcher` whose network is on the device whole or not at all.

    The layers of diffusers cannot compute while their weights are elsewhere, as ComfyUI's own can. So neither a
    lack of memory nor `--novram` may leave a part of them behind.
    """

    def partially_load(
        self, device_to: torch.device, extra_memory: float = 0, force_patch_weights: bool = False
    ) -> int:
        """Load everything; `extra_memory`, the room that ComfyUI has in mind, does not matter."""
        del extra_memory
        loaded: int = super().partially_load(device_to, 1e32, force_patch_weights=force_patch_weights)
        return loaded

    def partially_unload(self, *_args: Any, **_options: Any) -> int:  # noqa: ANN401 - ComfyUI's signature
        """Free nothing, upon which ComfyUI unloads the whole."""
        return 0


@cache
def _dynamic(core: Any) -> Any:  # noqa: ANN401 - a class
    """ComfyUI's patcher for dynamic VRAM, `core`, for one of our networks.

    Layers that are not ComfyUI's own it copies to the device whole, and takes all of them away together. But it does so
    at every request, and a restoration asks several times.
    """

    class DynamicPatcher(core):
        def load(self, *args: Any, dirty: bool = False, **options: Any) -> None:  # noqa: ANN401 - ComfyUI's
            if dirty or not self.loaded_size():
                super().load(*args, dirty=dirty, **options)

    return DynamicPatcher


def _kind(device: torch.device) -> Any:  # noqa: ANN401 - a class
    """The class of patchers: ComfyUI's own choice (`CoreModelPatcher`, which 0.3.75 has not) where that is dynamic."""
    core: Any = getattr(model_patcher, "CoreModelPatcher", ModelPatcher)
    return WholePatcher if core is ModelPatcher or device.type == "cpu" else _dynamic(core)


class HeadsUpNetwork(nn.Module):
    """Holds one network. ComfyUI assigns `device` to what it manages, which diffusers' models do not allow."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


def load_whole(networks: Sequence[nn.Module], device: torch.device, bytes_needed: int) -> None:
    """Bring `networks` onto `device`, with `bytes_needed` left free; ComfyUI may unload other models for that."""
    patchers = [patcher_of(network, device) for network in networks]
    model_management.load_models_gpu(patchers, memory_required=bytes_needed, force_full_load=True)


def patcher_of(network: nn.Module, device: torch.device) -> Any:  # noqa: ANN401 - ComfyUI's patcher
    """The only patcher of `network`, made at its first use; the network computes on that call's `device` ever after.

    It is kept on the network: ComfyUI refers to patchers weakly, and in a dictionary by network it would keep its own
    key alive. So network and patcher go together, when no model handle holds the network any more.
    """
    patcher: Any = getattr(network, _PATCHER, None)
    if patcher is None:
        cpu = device.type == "cpu"
        offload = device if cpu else model_management.unet_offload_device()
        patcher = _kind(device)(HeadsUpNetwork(network), load_device=device, offload_device=offload)
        setattr(network, _PATCHER, patcher)
    return patcher


def usable_memory(device: torch.device) -> int:
    """Bytes that activations can have on `device`: what is free, and what ComfyUI would unload for us."""
    free = int(model_management.get_free_memory(device))
    if device.type == "cpu":
        return free
    for loaded in model_management.current_loaded_models:
        patcher = loaded.model
        if loaded.device == device and patcher is not None and not isinstance(patcher.model, HeadsUpNetwork):
            free += int(patcher.loaded_size())
    return free
