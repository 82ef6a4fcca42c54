"""A batch that is interrupted and killed in a real process, and resumed, gives what an undisturbed one gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from PIL import Image

import headsup_core
from headsup_core.cli import main
from headsup_core.image_files import read_picture, write_picture
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel
from headsup_core.whole_files import whole_file

COUNT = 48
SIZES = ((10, 14), (17, 9), (24, 24))


def _photos(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for index in range(COUNT):
        path = folder / ("some" if index % 3 else "other/deep") / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, torch.rand(1, 3, *SIZES[index % len(SIZES)], generator=generator))


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(headsup_core.__file__).parent.parent)}
    command = [sys.executable, "-m", "headsup_core", *arguments]
    # a process that was started in the background ignores Ctrl-C, and so do those that it starts
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _results(output: Path) -> dict[str, bytes]:
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*.png")}


def _stop_at(process: subprocess.Popen[str], output: Path, count: int, number: int) -> str:
    """Send a signal as soon as so many results are there; what was said on stderr."""
    deadline = time.monotonic() + 500
    while len(list(output.rglob("*.png"))) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    return process.communicate(timeout=500)[1]


def _left_by(process: int, folder: Path) -> Path:
    """The temporary file of a killed process."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "own") as temporary:
        temporary.touch()
    (folder / "own").unlink()
    left = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", f"-{process}-"))
    left.write_bytes(b"half")
    return left


def test_a_batch_survives_ctrl_c_and_kill(toy_model: OneStepModel, tmp_path: Path) -> None:
    model = tmp_path / "toy.safetensors"
    save_headsup(model, toy_model)
    _photos(tmp_path / "in")
    common = ["upscale", str(tmp_path / "in"), "--recursive", "--no-faces", "--model", str(model), "--quiet"]
    common += ["--dtype", "float32", "--output"]  # auto would depend on the CPU in the other processes
    output, undisturbed = tmp_path / "out", tmp_path / "undisturbed"

    interrupted = _start([*common, str(output)])
    said = _stop_at(interrupted, output, 3, signal.SIGINT)
    assert interrupted.returncode == 130, said
    assert "the same command with --resume goes on" in said
    assert "Traceback" not in said
    assert [path for path in output.rglob("*") if path.suffix == ".tmp"] == []
    first = _results(output)
    assert 3 <= len(first) < COUNT

    killed = _start([*common, str(output), "--resume"])
    _stop_at(killed, output, len(first) + 3, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    second = _results(output)
    assert len(first) + 3 <= len(second) < COUNT
    assert {name: second[name] for name in first} == first
    for name in second:
        assert max(read_picture(output / name).rgb.shape) <= 96  # whole: it can be decoded

    left = _left_by(killed.pid, output / "some")
    stranger = output / "some" / "notes.tmp"
    stranger.write_text("mine")
    times = {name: (output / name).stat().st_mtime_ns for name in second}
    assert main([*common, str(output), "--resume"]) == 0
    assert {name: (output / name).stat().st_mtime_ns for name in second} == times  # nothing was made twice
    assert not left.exists()
    assert stranger.read_text() == "mine"

    assert main([*common, str(undisturbed)]) == 0
    assert _results(output) == _results(undisturbed)
    assert len(_results(output)) == COUNT
    with Image.open(output / "other" / "deep" / "00.png") as image:
        assert image.size == (56, 40)
