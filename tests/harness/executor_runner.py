"""Runs in a process of its own, inside a ComfyUI tree: answers JSON lines on stdin with JSON lines on stdout.

usage: executor_runner.py TREE BASE_DIRECTORY PACK...
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import random
import sys
import time
import uuid
from typing import Any, TextIO


def open_replies() -> TextIO:
    """The channel of the answers; whatever ComfyUI prints goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def enter_comfyui(tree: str, base: str) -> None:
    """Make this process look like a ComfyUI that was started on the CPU."""
    sys.path[0] = tree  # in place of this script's folder
    sys.argv = ["main.py", "--cpu", "--base-directory", base, "--disable-api-nodes"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils.extra_config  # noqa: F401 - has to come before nodes in 0.3.75


class Server:
    """What the executor needs of ComfyUI's server; keeps the messages."""

    client_id = "harness"
    last_node_id = None

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.sockets_metadata: dict[str, Any] = {}

    def send_sync(self, event: Any, data: Any, client: str | None = None) -> None:
        del client
        if isinstance(event, str) and isinstance(data, dict):
            self.messages.append((event, data))


class Runner:
    """An executor that lives as long as the process, so that its caches do."""

    def __init__(self) -> None:
        import comfy.utils
        import execution

        self.server = Server()
        cache_args = {"lru": 0, "ram": 0, "ram_inactive": 0}
        kind = execution.CacheType.CLASSIC
        self.executor = execution.PromptExecutor(self.server, cache_type=kind, cache_args=cache_args)
        self.progress: list[tuple[str, float, float, bool]] = []
        self.interrupt_after: int | None = None
        comfy.utils.set_progress_bar_global_hook(self.on_progress)

    def on_progress(
        self, value: float, total: float, preview: Any, prompt_id: str | None = None, node_id: str | None = None
    ) -> None:
        """What ComfyUI's main program does with a progress report: it is also a point to stop at."""
        import comfy.model_management
        from comfy_execution.utils import get_executing_context

        import nodes

        del prompt_id
        context = get_executing_context()
        node = node_id or (context.node_id if context else "")
        self.progress.append((node, value, total, preview is not None))
        if self.interrupt_after is not None and len(self.progress) >= self.interrupt_after:
            self.interrupt_after = None
            nodes.interrupt_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    def run(self, prompt: dict[str, Any], interrupt_after: int | None = None) -> dict[str, Any]:
        """Validate and execute a prompt; interrupt it at its n-th progress report when asked to."""
        import execution

        prompt_id = uuid.uuid4().hex
        valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt(prompt_id, prompt, None))
        if not valid:
            return {"status": "rejected", "rejection": error, "node_errors": node_errors}
        self.server.messages.clear()
        self.progress, self.interrupt_after = [], interrupt_after
        random_before = random_state()
        start = time.monotonic()
        self.executor.execute(prompt, prompt_id, {"client_id": "harness"}, outputs)
        events = dict(self.executor.status_messages)
        ended = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}
        return {
            "status": next(status for event, status in ended.items() if event in events),
            "error": events.get("execution_error", {}).get("exception_message", ""),
            "error_type": events.get("execution_error", {}).get("exception_type", ""),
            "executed": [d["node"] for e, d in self.server.messages if e == "executing" and d.get("node")],
            "outputs": self.executor.history_result["outputs"],
            "progress": self.progress,
            "random_state_untouched": random_state() == random_before,
            "seconds": time.monotonic() - start,
        }

    def object_info(self) -> dict[str, Any]:
        """The schemas of the loaded V3 nodes."""
        import nodes

        classes = nodes.NODE_CLASS_MAPPINGS.items()
        return {name: node.GET_NODE_INFO_V1() for name, node in classes if hasattr(node, "GET_NODE_INFO_V1")}

    def loaded_models(self) -> list[dict[str, Any]]:
        """The networks that ComfyUI's memory management holds."""
        import comfy.model_management

        gc.collect()
        loaded = [entry.model for entry in comfy.model_management.current_loaded_models if entry.model is not None]
        return [{"id": id(p.model), "class": type(p.model).__name__, "bytes": p.model_size()} for p in loaded]


def random_state() -> str:
    """A hash of the state of every global random generator."""
    import numpy
    import torch

    state = (random.getstate(), numpy.random.get_state()[1].tobytes(), torch.random.get_rng_state().numpy().tobytes())
    return hashlib.sha256(repr(state).encode()).hexdigest()


async def load_packs(packs: list[str]) -> list[str]:
    """Load packs as ComfyUI does; those that failed."""
    import nodes

    return [pack for pack in packs if not await nodes.load_custom_node(pack, module_parent="custom_nodes")]


def main() -> None:
    """Answer commands until stdin ends."""
    tree, base, *packs = sys.argv[1:]
    replies = open_replies()
    enter_comfyui(tree, base)
    failed = asyncio.run(load_packs(packs))
    runner = Runner()
    answer(replies, {"failed_packs": failed})
    commands = {"run": runner.run, "object_info": runner.object_info, "loaded_models": runner.loaded_models}
    for line in sys.stdin:
        command = json.loads(line)
        answer(replies, commands[command.pop("command")](**command))


def answer(replies: TextIO, value: Any) -> None:
    """Write one answer."""
    replies.write(json.dumps(value, default=str) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
