"""Disks that are full or cannot be written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

from headsup_core.errors import InputError
from headsup_core.image_files import write_picture

from .findings import Findings


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
