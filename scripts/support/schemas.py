"""The schemas of the nodes, from a ComfyUI that is started for it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from .client import ComfyClient
from .comfyui import CURRENT, ensure_comfyui
from .paths import LOGS, PACK_NAME, ROOT
from .server import ComfyServer, link_pack, make_base_directory


def read_schemas() -> dict[str, Any]:
    """Node id -> schema of every node, as the newest pinned ComfyUI gives them with no models in its folders.

    Raises:
        ScriptError: ComfyUI could not be fetched or did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = make_base_directory(Path(folder))
        link_pack(ROOT, base, PACK_NAME)
        with ComfyServer(sys.executable, ensure_comfyui(CURRENT), base, LOGS / "schemas.log", cpu=True) as server:
            return ComfyClient(server.address).object_info()
