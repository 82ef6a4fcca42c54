"""Telling the user something where a node did its work all the same.

`page/headsup.js` shows it on the node until the node runs again. ComfyUI keeps what a node shows with its results, and
gives it again when they come from its cache: from 0.10 on for nodes with `has_intermediate_output`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def said(lines: Sequence[str]) -> dict[str, Any] | None:
    """What a node gives as its `ui` to say `lines`; None where there are none."""
    return {"text": ["\n".join(lines)]} if lines else None
