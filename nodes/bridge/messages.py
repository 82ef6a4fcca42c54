"""Telling the user something where a node did its work all the same."""

from __future__ import annotations

import sys
from typing import Any

from comfy_execution.utils import get_executing_context as _context  # pyright: ignore[reportMissingImports]

get_executing_context: Any = _context


def show_on_node(text: str) -> None:
    """Show `text` on the running node in the page that queued it; nothing where no page can be (a script, a test)."""
    module: Any = sys.modules.get("server")  # loaded by whoever serves a page
    server: Any = getattr(getattr(module, "PromptServer", None), "instance", None)
    context: Any = get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id, server.client_id)
