"""The virtual environment `.venv`, shared by `scripts/quickstart` and `scripts/test`.

Each group of requirements is installed once; a stamp with the hash of its requirement files is written after
success, so that a finished set-up takes no time, a changed one is brought up to date and an interrupted one goes on.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .console import ScriptError, run_logged, step
from .paths import BUILD, LOGS, REQUIREMENTS, ROOT, VENV, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PYTHON = VENV / "bin" / "python"
STAMP = VENV / "headsup-setup.json"
MINIMUM_PYTHON = (3, 10)
DOWNLOAD_REMEDY = "Check the connection to your Python package index (pip config list) and run this script again."
TORCH_PACKAGES = ("torch", "torchvision", "torchaudio")

# group -> requirement files and further pip options; the order is the order of installation
GROUPS: dict[str, list[tuple[Path, tuple[str, ...]]]] = {
    "torch": [(REQUIREMENTS / "torch.txt", ())],
    "comfyui": [
        (REQUIREMENTS / "no-deps.txt", ("--no-deps",)),
        (REQUIREMENTS / "comfyui.txt", ()),
    ],
    "pack": [(ROOT / "requirements.txt", ())],
    "quickstart": [(REQUIREMENTS / "quickstart.txt", ())],
    "test": [(REQUIREMENTS / "test.txt", ())],
}


@contextmanager
def setup_lock() -> Iterator[None]:
    """Let only one script set things up at a time; a second one waits."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".setup.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another set-up of this repository to finish"):
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def ensure_venv(groups: Sequence[str]) -> Path:
    """Make `.venv` hold the given groups and return its interpreter.

    Raises:
        ScriptError: Python is too old, the venv module is missing, or a download failed.
    """
    check_python()
    if not works(PYTHON):
        make_venv()
    stamps = read_stamps()
    for group in groups:
        digest = group_digest(group)
        if stamps.get(group) == digest:
            continue
        if not (group == "torch" and has_torch()):
            install(group)
        stamps[group] = digest
        STAMP.write_text(json.dumps(stamps, indent=1))
    return PYTHON


def check_python() -> None:
    """Raises `ScriptError` when the running interpreter is too old for the pack."""
    if sys.version_info < MINIMUM_PYTHON:
        found, needed = (".".join(map(str, v)) for v in (sys.version_info[:3], MINIMUM_PYTHON))
        raise ScriptError(f"Python {found} is too old: Python {needed} or newer is needed; run this script with one.")


def make_venv() -> None:
    """Create `.venv` anew; what an interrupted creation left is cleared."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise ScriptError(
            f"{sys.executable} comes without the venv module: install it (apt install python{version}-venv) "
            "and run this script again."
        )
    with step(f"making the virtual environment {relative(VENV)} with Python {sys.version.split()[0]}"):
        command = [sys.executable, "-m", "venv", "--clear", VENV]
        run_logged(command, LOGS / "venv.log", "Remove the folder .venv and run this script again.")


def works(python: Path) -> bool:
    """Whether there is a usable interpreter with pip."""
    if not python.exists():
        return False
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def has_torch() -> bool:
    """Whether torch and its two companions are there already (a build for another accelerator is kept)."""
    lookup = "import importlib.metadata as m, sys; [m.version(n) for n in sys.argv[1:]]"
    return subprocess.run([PYTHON, "-c", lookup, *TORCH_PACKAGES], capture_output=True).returncode == 0


def install(group: str) -> None:
    """Install one group with pip."""
    for file, options in GROUPS[group]:
        with step(f"installing {relative(file)} into {relative(VENV)}"):
            pip("install", "-r", file, *options, log=f"pip-{file.stem}.log")


def pip(*arguments: str | Path, log: str) -> None:
    """Run the environment's pip; its temporary files stay in `build`, and it keeps no cache elsewhere."""
    temporary = BUILD / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "TMPDIR": str(temporary), "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    verb, *rest = arguments
    command = [PYTHON, "-m", "pip", verb, "--no-cache-dir", "--progress-bar", "off", *rest]
    run_logged(command, LOGS / log, DOWNLOAD_REMEDY, env)


def group_digest(group: str) -> str:
    """Hash of a group's requirement files and options: changes when the group has to be installed again."""
    digest = hashlib.sha256()
    for file, options in GROUPS[group]:
        digest.update(file.read_bytes())
        digest.update(" ".join(options).encode())
    return digest.hexdigest()


def read_stamps() -> dict[str, str]:
    """The groups that were installed completely, with the digests they had; empty when unreadable."""
    try:
        stamps = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}
