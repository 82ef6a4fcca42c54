"""Runs in a process of its own inside a ComfyUI tree: how our networks behave in its memory management, as JSON.

usage: memory_probe.py TREE PACKAGE_PARENT

torch's "meta" device stands for a GPU: weights can move there, and take no memory.
"""

from __future__ import annotations

import gc
import json
import sys
import weakref
from typing import Any

GPU = "meta"


def main() -> None:
    tree, package_parent = sys.argv[1:]
    sys.path[0] = tree
    sys.path.append(package_parent)
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_patcher
    import utils.extra_config  # noqa: F401 - has to come before nodes in 0.3.75
    from comfyui_headsup.nodes.bridge import memory

    answer = {
        "novram": after_novram(memory.WholePatcher),
        "novram_of_comfyui": after_novram(comfy.model_patcher.ModelPatcher),
        "pressed": after_pressure(memory.WholePatcher),
        "pressed_of_comfyui": after_pressure(comfy.model_patcher.ModelPatcher),
        "lifetime": lifetime(memory),
        "usable": usable(memory),
        "dynamic": dynamic(memory),
    }
    sys.stdout.write("\n" + json.dumps(answer))


def network() -> Any:
    """Three layers of different sizes, of 43 176 bytes, that are not ComfyUI's own."""
    from torch import nn

    return nn.Sequential(nn.Linear(100, 100), nn.Conv2d(8, 8, 3), nn.Linear(10, 10))


def make_patcher(kind: Any, layers: Any, load: str, offload: str) -> Any:
    import torch
    from comfyui_headsup.nodes.bridge.memory import HeadsUpNetwork

    return kind(HeadsUpNetwork(layers), load_device=torch.device(load), offload_device=torch.device(offload))


def state(layers: Any, patcher: Any) -> dict[str, Any]:
    return {"on": sorted({str(weight.device) for weight in layers.parameters()}), "loaded": patcher.loaded_size()}


def after_novram(kind: Any) -> dict[str, Any]:
    """Loading as under --novram, with room for nothing."""
    import torch

    layers = network()
    patcher = make_patcher(kind, layers, GPU, "cpu")
    patcher.partially_load(torch.device(GPU), 0.1)
    return state(layers, patcher)


def after_pressure(kind: Any) -> dict[str, Any]:
    """ComfyUI wants 100 bytes of a loaded network's memory."""
    import comfy.model_management as management

    layers = network()
    patcher = make_patcher(kind, layers, "cpu", GPU)
    loaded = management.LoadedModel(patcher)
    loaded.model_load()
    return {"gone": loaded.model_unload(100)} | state(layers, patcher)


def lifetime(memory: Any) -> dict[str, Any]:
    """A network's patcher is shared while the network is used, and goes with it."""
    import comfy.model_management as management
    import torch

    cpu = torch.device("cpu")
    layers = network()
    patcher = memory.patcher_of(layers, cpu)
    memory.load_whole([layers], cpu, 1000)
    memory.load_whole([layers], cpu, 1000)
    same, listed = memory.patcher_of(layers, cpu) is patcher, len(management.current_loaded_models)
    watch = weakref.ref(layers)
    del layers, patcher
    gc.collect()
    management.cleanup_models()
    return {"same": same, "listed": listed, "freed": watch() is None, "left": len(management.current_loaded_models)}


def usable(memory: Any) -> list[int]:
    """Usable memory where 1000 bytes are free: alone, with another pack's network loaded, and with ours, too."""
    import comfy.model_management as management
    import comfy.model_patcher
    import torch

    management.get_free_memory = lambda device: 1000
    device = torch.device(GPU)
    others = comfy.model_patcher.ModelPatcher(network(), load_device=device, offload_device=torch.device("cpu"))
    patchers = [others, make_patcher(memory.WholePatcher, network(), GPU, "cpu")]
    sizes = [memory.usable_memory(device)]
    for patcher in patchers:
        loaded = management.LoadedModel(patcher)
        loaded.model_load()
        management.current_loaded_models.append(loaded)
        sizes.append(memory.usable_memory(device))
    management.current_loaded_models.clear()
    return sizes


class Native:
    """Stands for aimdo's parts, which need a GPU: buffers in main memory, and addresses of memory on a device."""

    size = 0

    def __init__(self, *_sizes: Any) -> None: ...

    def prioritize(self) -> None: ...

    def loaded_size(self) -> int:
        return 0

    def free_memory(self, _size: int) -> int:
        return 0


def dynamic(memory: Any) -> dict[str, Any] | None:
    """A network of ours under dynamic VRAM, as ComfyUI's main program switches it on; None where a version has none."""
    import comfy.model_management as management
    import comfy.model_patcher
    import torch

    if not hasattr(comfy.model_patcher, "ModelPatcherDynamic"):
        return None
    import comfy.memory_management
    import comfy_aimdo.host_buffer
    import comfy_aimdo.model_vbar

    comfy_aimdo.host_buffer.HostBuffer = comfy_aimdo.model_vbar.ModelVBAR = Native
    comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
    comfy.memory_management.aimdo_enabled = True
    management.get_free_memory = lambda device, torch_free_too=False: (10**9, 0) if torch_free_too else 10**9
    gpu, layers = torch.device(GPU), network()
    memory.load_whole([layers], gpu, 1000)
    patcher = memory.patcher_of(layers, gpu)
    first = state(layers, patcher) | {"dynamic": patcher.is_dynamic(), "listed": len(management.current_loaded_models)}
    weights = [id(weight) for weight in layers.parameters()]
    memory.load_whole([layers], gpu, 1000)
    kept = weights == [id(weight) for weight in layers.parameters()]
    management.get_free_memory = lambda device, torch_free_too=False: (0, 0) if torch_free_too else 0
    management.free_memory(100, gpu)
    away = state(layers, patcher)
    memory.load_whole([layers], gpu, 1000)
    cpu = memory.patcher_of(network(), torch.device("cpu"))
    return {"first": first, "kept": kept, "away": away, "again": state(layers, patcher), "cpu": cpu.is_dynamic()}


if __name__ == "__main__":
    main()
