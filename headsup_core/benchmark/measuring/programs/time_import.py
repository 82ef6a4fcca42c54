"""Seconds that loading a pack takes: FOLDER COMFYUI, the latter "" for none.

Run by its path: as a module it would load this pack before the clock starts.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
import time
from typing import Any


def main(folder: str, comfyui: str) -> float:
    """Seconds. With a ComfyUI folder its own modules are loaded first, and the pack's nodes, too, as its start does."""
    del sys.path[0]  # the folder of this program
    for module in ("torch", "psutil", "tqdm", "PIL.Image"):
        importlib.import_module(module)
    if comfyui:
        sys.path.insert(0, comfyui)
        options: Any = importlib.import_module("comfy.options")
        sys.argv = ["main.py", "--cpu"]
        options.enable_args_parsing()
        for module in ("nodes", "comfy_api.latest"):
            importlib.import_module(module)
    started = time.perf_counter()
    spec = importlib.util.spec_from_file_location("pack", f"{folder}/__init__.py", submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)
    if comfyui and hasattr(module, "comfy_entrypoint"):
        asyncio.run(_list_nodes(module))
    elif hasattr(module, "comfy_entrypoint"):
        importlib.import_module("pack.headsup_core")
    return time.perf_counter() - started


async def _list_nodes(pack: Any) -> None:  # noqa: ANN401 - a pack's module
    await (await pack.comfy_entrypoint()).get_node_list()


if __name__ == "__main__":
    sys.stdout.write(f"{main(*sys.argv[1:])}\n")
