"""Says what an interpreter lacks of a requirements file, without installing anything."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .console import ScriptError

if TYPE_CHECKING:
    from collections.abc import Iterable

# a gallery of other people's workflows that ComfyUI starts without
NOT_NEEDED = {"comfyui-workflow-templates"}


def check_installed(files: Iterable[Path]) -> None:
    """Check the running interpreter against requirements files.

    Raises:
        ScriptError: something is missing or too old; the message names it and the pip line that mends it.
    """
    problems: list[str] = []
    for file in files:
        lacking = missing(file)
        if lacking:
            problems.append(f"{', '.join(lacking)}\n  remedy: {sys.executable} -m pip install -r {file}")
    if problems:
        raise ScriptError("this Python lacks\n" + "\n".join(problems))


def missing(file: Path) -> list[str]:
    """The requirements in the file that are not met; ComfyUI's optional ones are not looked at."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging"]  # comes with transformers, so nothing was installed yet
    lacking: list[str] = []
    for line in file.read_text().splitlines():
        if "non essential" in line:
            break
        text = line.split("#")[0].strip()
        if not text:
            continue
        wanted = Requirement(text)
        if wanted.name not in NOT_NEEDED and not is_met(wanted.name, wanted.specifier.contains):
            lacking.append(text)
    return lacking


def is_met(name: str, allows: object) -> bool:
    """Whether a distribution is installed in a version that `allows` accepts."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(allows(version, prereleases=True))  # type: ignore[operator]
