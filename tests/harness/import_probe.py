"""Loads a pack inside a ComfyUI and prints, as JSON, what that brought in.

usage: import_probe.py TREE BASE_DIRECTORY PACK
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from executor_runner import enter_comfyui, open_replies

HEAVY = {
    "diffusers", "transformers", "lpips", "skimage", "scipy", "cv2", "onnx", "onnxruntime",
    "insightface", "facexlib", "dlib", "face_recognition_models", "pooch",
}  # fmt: skip


def heavy_modules() -> list[str]:
    """The heavy libraries that are loaded now."""
    return sorted(HEAVY & {name.partition(".")[0] for name in sys.modules})


async def probe(pack: str) -> dict[str, Any]:
    """Load the pack with an ear on the network."""
    import nodes

    # ComfyUI itself loads transformers: forgotten here, so that the pack's own import of it would be seen
    for name in [name for name in sys.modules if name.partition(".")[0] in HEAVY]:
        del sys.modules[name]
    before = set(nodes.NODE_CLASS_MAPPINGS)
    sockets: list[str] = []
    sys.addaudithook(lambda event, _arguments: sockets.append(event) if event.startswith("socket.") else None)
    start = time.perf_counter()
    loaded = await nodes.load_custom_node(pack, module_parent="custom_nodes")
    seconds = time.perf_counter() - start
    found = sorted(set(nodes.NODE_CLASS_MAPPINGS) - before)
    opened = list(sockets)
    return {"loaded": loaded, "seconds": seconds, "heavy": heavy_modules(), "sockets": opened, "nodes": found}


def main() -> None:
    """Probe and print."""
    tree, base, pack = sys.argv[1:]
    replies = open_replies()
    enter_comfyui(tree, base)
    replies.write(json.dumps(asyncio.run(probe(pack))))
    replies.flush()


if __name__ == "__main__":
    main()
