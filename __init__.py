"""ComfyUI-HeadsUp: one-step diffusion portrait restoration. ComfyUI finds the nodes through `comfy_entrypoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes.extension import HeadsUpExtension

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> HeadsUpExtension:
    """The extension. Imported here and not above, so that this file also imports where there is no ComfyUI."""
    from .nodes.extension import HeadsUpExtension

    return HeadsUpExtension()
