"""Libraries that only a part of the work needs, imported when they are used."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .errors import InputError


def need(module: str, package: str | None = None, purpose: str = "this") -> Any:  # noqa: ANN401 - any library
    """Import `module`.

    Args:
        package: what pip calls it, when that is another name.
        purpose: what needs it, for the message.

    Raises:
        InputError: it is not installed, or its own imports fail; with the pip line for this Python.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = package or module
        raise InputError(
            f'{purpose} needs {module}, which cannot be imported ({error}): "{sys.executable}" -m pip install {wanted}'
        ) from error
