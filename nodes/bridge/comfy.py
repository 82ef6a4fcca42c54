"""All that this pack uses of ComfyUI, in one place. ComfyUI has no types for it: here it gets the name `Any`."""

from __future__ import annotations

import dataclasses
from typing import Any

import comfy.cli_args as _cli_args  # pyright: ignore[reportMissingImports]
import comfy.model_management as _model_management  # pyright: ignore[reportMissingImports]
import comfy.model_patcher as _model_patcher  # pyright: ignore[reportMissingImports]
import comfy.utils as _utils  # pyright: ignore[reportMissingImports]
import folder_paths as _folder_paths  # pyright: ignore[reportMissingImports]
from comfy_api.latest import ComfyExtension as _ComfyExtension  # pyright: ignore[reportMissingImports]
from comfy_api.latest import io as _io  # pyright: ignore[reportMissingImports]
from comfy_api.latest import ui as _ui  # pyright: ignore[reportMissingImports]

ComfyExtension: Any = _ComfyExtension
cli_args: Any = _cli_args.args
folder_paths: Any = _folder_paths
io: Any = _io
model_management: Any = _model_management
model_patcher: Any = _model_patcher
ModelPatcher: Any = _model_patcher.ModelPatcher
ProgressBar: Any = _utils.ProgressBar
ComfyNode: Any = _io.ComfyNode
ImageSaveHelper: Any = _ui.ImageSaveHelper

CATEGORY = "HeadsUp"
HeadsUpModelSocket: Any = io.Custom("HEADSUP_MODEL")
FaceAnalyzerSocket: Any = io.Custom("HEADSUP_FACE_ANALYZER")
FacesSocket: Any = io.Custom("HEADSUP_FACES")
IdentitiesSocket: Any = io.Custom("HEADSUP_IDENTITIES")
IDFSRModelSocket: Any = io.Custom("HEADSUP_IDFSR_MODEL")
SegsSocket: Any = io.Custom("SEGS")  # Impact Pack's


def schema(group: str = "", **fields: Any) -> Any:  # noqa: ANN401 - ComfyUI's Schema
    """ComfyUI's `Schema`, without the fields that an older version does not know (0.3.75: `search_aliases`).

    Args:
        group: sub-category of the menu; empty: the nodes that everybody uses.
    """
    known = {field.name for field in dataclasses.fields(io.Schema)}
    category = f"{CATEGORY}/{group}" if group else CATEGORY
    return io.Schema(category=category, **{name: value for name, value in fields.items() if name in known})
