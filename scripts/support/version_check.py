"""`scripts/version_check`: a short test of the core with other libraries, or with another Python."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .console import ScriptError, fail, run_logged, say, step
from .paths import BUILD, LOGS, ROOT

FOLDER = BUILD / "versions"
TESTS = ("tests/core/test_bases.py", "tests/core/test_system_hypir.py", "tests/core/test_precision.py")
"""Reads and writes files, runs text encoder, VAE and UNet with an adapter: what transformers, diffusers, safetensors,
numpy and torch are used for, in seconds."""
VERSIONS = """
import importlib.metadata as metadata, sys
names = ("torch", "numpy", "transformers", "diffusers", "safetensors")
print("Python " + sys.version.split()[0], *(f"{name} {metadata.version(name)}" for name in names), sep=", ")
"""
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "scikit-image", "aiohttp")
"""What the tests themselves need."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: the tests passed; 1: they did not, or the environment could not be made."""
    parser = argparse.ArgumentParser(prog="version_check", description="A short test with other versions.")
    parser.add_argument("--with", action="append", default=[], metavar="PACKAGE", dest="packages", help="as pip has it")
    parser.add_argument("--python", metavar="COMMAND", help="another Python, for which an environment is made")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="FILE", help="what is run instead")
    args = parser.parse_args(arguments)
    if not args.packages and args.python is None:
        parser.error("give --with or --python")
    try:
        interpreter, path = environment(args.python, args.packages)
        others = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
        say(subprocess.run([interpreter, "-c", VERSIONS], env=others, capture_output=True, text=True).stdout.strip())
        command = [interpreter, "-m", "pytest", "-c", "tests/pytest.ini", "-q", *args.tests]
        return min(1, subprocess.run(command, env=others, cwd=ROOT).returncode)
    except ScriptError as error:
        return fail(error)


def environment(python: str | None, packages: Sequence[str]) -> tuple[Path, Path | None]:
    """An interpreter, and a folder that goes before its own libraries; made once for the same arguments.

    Raises:
        ScriptError: there is no such Python, or pip failed.
    """
    digest = hashlib.sha256(repr((python, sorted(packages))).encode()).hexdigest()[:12]
    folder = FOLDER / digest
    log = LOGS / f"versions-{digest}.log"
    remedy = f"Delete {folder} and try again."
    if python is None:
        if not folder.exists():
            with step(f"installing {', '.join(packages)} into {folder}"):
                pip = [sys.executable, "-m", "pip", "install", "--target", folder, *packages]
                _once(folder, pip, log, remedy)
        return Path(sys.executable), folder
    command = shutil.which(python)
    if command is None:
        raise ScriptError(f"{python} is not there. Install that Python, or name another.")
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not interpreter.exists():
        with step(f"making an environment of {python} in {folder}: torch takes minutes and gigabytes"):
            run_logged([command, "-m", "venv", folder], log, remedy)
            pip = [interpreter, "-m", "pip", "install", "-r", ROOT / "requirements.txt", *TOOLS, *packages]
            _once(folder, pip, log, remedy)
    return interpreter, None


def _once(folder: Path, command: list[str | Path], log: Path, remedy: str) -> None:
    """Run pip; what it left is removed when it fails."""
    try:
        run_logged(command, log, remedy)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
