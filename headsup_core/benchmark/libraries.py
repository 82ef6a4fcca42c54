"""Libraries that only measuring needs, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import InputError


def need(module: str, package: str | None = None) -> Any:  # noqa: ANN401 - any library
    """Import `module`.

    Raises:
        InputError: it is not installed; with the pip line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = package or module
        raise InputError(
            f"measuring needs {module}, which cannot be imported ({error}): pip install {wanted}"
        ) from error
