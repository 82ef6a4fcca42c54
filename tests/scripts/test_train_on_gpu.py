"""scripts/train_on_gpu: packed here, trained from the package alone, joined again."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support.faults.toy import TOY_ARCHITECTURE

from headsup_core.models.prediction import LatentResidual
from headsup_core.models.record import ModelCard, ModelRecord


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    from torchvision.models import squeezenet1_1

    pictures = tmp_path / "data" / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(0)
    for person in range(4):
        noise = random.integers(0, 256, (480, 320, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pictures / f"{person}_a.png")
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "data" / "squeezenet.pth")
    model = ModelRecord(ModelCard("toy", "MIT"), LatentResidual(1), TOY_ARCHITECTURE, trained_size=32)
    record = {
        "architecture": model.to_json(),
        "sources": [{"folder": "pictures", "ratio": 1.0, "hold_out": 2, "longest_side": 400}],
        "degradations": {"x8": 1.0},
        "lpips_backbone": "squeezenet.pth",
        "crop": 32,
        "batch": 1,
        "steps": 10,
        "codec_steps": 0,
        "sample_side": 32,
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(record))
    return path


def test_a_packed_training_comes_back_as_a_model(root: Path, tmp_path: Path, config: Path) -> None:
    script, package, out = root / "scripts" / "train_on_gpu", tmp_path / "package", tmp_path / "out"
    packed = run(
        script, "pack", "--config", config, "--data", tmp_path / "data", "--mib", 12, "--output", package, folder=root
    )
    assert packed.returncode == 0, packed.stderr
    assert sum(file.stat().st_size for file in package.iterdir()) < 12 * 2**20
    with tarfile.open(package / "content.tar.gz") as tar:
        names = tar.getnames()
    assert sorted(name for name in names if name.endswith(".jpg")) == ["pictures/0/1_a.jpg", "pictures/0/3_a.jpg"]
    assert not [name for name in names if "bundled" in name and name.endswith(".safetensors")]

    train = package / "train.py"
    options = ("--minutes", 30, "--steps", 2, "--device", "cpu", "--workers", 0, "--part-mib", 0.02)
    trained = run(train, *options, "--output", out, "--work", tmp_path / "work", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert len(list(out.glob("*.part*"))) > 1
    assert (out / "log.csv").read_text().count("\n") == 3  # the head and two steps

    joined = tmp_path / "weights.safetensors"
    assert run(script, "join", out, "--output", joined, folder=root).returncode == 0
    assert joined.read_bytes() == (tmp_path / "work" / "weights.safetensors").read_bytes()
    assert any(name.startswith("unet.") for name in load_file(joined))
    again = run(script, "join", out, "--output", joined, folder=root)
    assert again.returncode == 1
    assert "exists" in again.stderr
    (out / "weights.safetensors.part2").unlink()
    broken = run(script, "join", out, "--output", tmp_path / "other.safetensors", folder=root)
    assert broken.returncode == 1
    assert not (tmp_path / "other.safetensors").exists()


def test_too_little_room(root: Path, tmp_path: Path, config: Path) -> None:
    options = ("--config", config, "--data", tmp_path / "data", "--mib", 1, "--output", tmp_path / "package")
    packed = run(root / "scripts" / "train_on_gpu", "pack", *options, folder=root)
    assert packed.returncode == 1
    assert "--mib" in packed.stderr
    assert not (tmp_path / "package" / "content.tar.gz").exists()
