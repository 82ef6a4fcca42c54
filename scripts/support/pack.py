"""Other views of the repository: as an importable package, and as a clone without what git ignores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .paths import BUILD, ROOT

# The repository as the package `comfyui_headsup`, for import-linter: only the code, so that a search through the
# package does not come upon the virtual environment or upon itself.
PACKAGE_PARENT = BUILD / "package"
PACKAGE = PACKAGE_PARENT / "comfyui_headsup"
CODE = ("__init__.py", "nodes", "headsup_core")
# `headsup_core` alone, for tests: the repository root itself must not be on the module path, where our `nodes`
# would hide ComfyUI's.
CORE_PARENT = BUILD / "core"


def link_package() -> None:
    """Make the links of `PACKAGE` and `CORE_PARENT` (again)."""
    for name in CODE:
        make_link(PACKAGE / name, ROOT / name)
    make_link(CORE_PARENT / "headsup_core", ROOT / "headsup_core")


def make_link(link: Path, target: Path) -> None:
    """Make a symbolic link; one that is right is left alone."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def copy_as_cloned(target: Path) -> Path:
    """Copy the files that git has or would take, as a user's clone has them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file():  # a deleted file is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    return target
