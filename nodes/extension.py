"""What ComfyUI gets from this pack."""

from __future__ import annotations

from typing import Any

from .comfy import ComfyExtension
from .load_model import HeadsUpLoadModel
from .model_files import register_folder
from .upscale import HeadsUpUpscale


class HeadsUpExtension(ComfyExtension):
    """The nodes, and the model folder that they read."""

    async def get_node_list(self) -> list[type[Any]]:
        register_folder()  # not in on_load(), which 0.3.75 does not call
        return [HeadsUpLoadModel, HeadsUpUpscale]
