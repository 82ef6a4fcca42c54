"""scripts/quickstart from outside, with the ComfyUI that the tests have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from support.comfyui import CURRENT, ensure_comfyui


def quickstart(root: Path, comfyui: Path, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COMFYUI_PATH": str(comfyui)}
    command = [sys.executable, str(root / "scripts" / "quickstart"), "--cpu", *options]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_portrait_before_and_after(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "comparison.png"

    done = quickstart(root, ensure_comfyui(CURRENT), "--output", str(target))

    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(target).convert("RGB")).astype(float)
    assert picture.shape == (576, 472 + 8 + 472, 3)
    before, after = picture[:, :472], picture[:, 480:]
    assert 1 < np.abs(before - after).mean() < 20
    assert f"ComfyUI {CURRENT}" in done.stdout
    assert str(target) in done.stdout


def test_folder_that_is_no_comfyui(root: Path, tmp_path: Path) -> None:
    done = quickstart(root, tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "is not a ComfyUI folder" in done.stderr


def test_missing_picture(root: Path) -> None:
    done = quickstart(root, ensure_comfyui(CURRENT), "--image", "/nowhere/me.png")

    assert done.returncode == 1
    assert "/nowhere/me.png" in done.stderr
