"""Disks that are full or cannot be written."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import torch
from PIL import Image

from headsup_core.cli import main as command_line
from headsup_core.errors import InputError
from headsup_core.image_files import write_picture

from .findings import Findings
from .toy import toy_file


def full_disk(folder: Path, findings: Findings) -> str:
    """Write to a disk of 256 KB until it is full, where one may be made; in words what was done."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        return "no full disk (that takes root)"
    try:
        whole = 0
        for number in range(40):
            try:
                write_picture(disk / f"{number}.png", torch.rand(1, 3, 80, 80))
                whole += 1
            except InputError:
                continue
            except Exception as error:  # that is what is looked for
                findings.add("tracebacks", f"full disk: {type(error).__name__}: {error}")
        names = sorted(path.name for path in disk.iterdir())
        if len(names) != whole:
            findings.add("half-written files", f"full disk: {names}")
        return f"a full disk ({whole} of 40 pictures fitted)"
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True, check=False)


def unwritable_folders(folder: Path, findings: Findings) -> str:
    """Give the command outputs that cannot be written: refused in a line each. In words which."""
    here = folder / "unwritable"
    here.mkdir()
    model, source = toy_file(here), here / "a.png"
    Image.new("RGB", (16, 16), "teal").save(source)
    file = here / "file"
    file.write_text("mine")
    tried = {"a file in the folder's place": file, "a file above it": file / "below", "/proc": Path("/proc/headsup")}
    disk = here / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if mounted:
        tried["a disk mounted read-only"] = disk
    try:
        for name, output in tried.items():
            arguments = ["upscale", str(source), "--output", str(output), "--model", str(model)]
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    status = command_line([*arguments, "--no-faces", "--quiet", "--device", "cpu"])
            except Exception as error:  # that is what is looked for
                findings.add("tracebacks", f"{name}: {type(error).__name__}: {error}")
                continue
            if status != 2 or said.getvalue().count("\n") != 1:
                findings.add("lost pictures", f"{name}: status {status}, {said.getvalue()}")
        if file.read_text() != "mine":
            findings.add("lost pictures", "the file in the folder's place")
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], capture_output=True, check=False)
    return f"{len(tried)} outputs that cannot be written ({', '.join(tried)})"
