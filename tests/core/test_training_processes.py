"""Several processes: accelerate starts them, and what they learn is what one would have learnt from all samples."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from harness.broken_run import line_config
from harness.lines import LineSubject
from harness.refusals import raises_naming
from harness.training import people_folder
from torch import nn

from headsup_core.errors import InputError
from headsup_core.models.record import ModelRecord
from headsup_core.training.processes import Processes
from headsup_core.training.restorer.restorer_config import read_config
from headsup_core.training.restorer.restorer_subject import RestorerSubject
from headsup_core.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(toy_record: ModelRecord, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    path = folder / "toy.yaml"
    record = {
        "architecture": toy_record.to_json(),
        "sources": [{"folder": str(people_folder(folder)), "ratio": 1.0}],
        "degradations": {"x8": 1.0},
        "lpips_backbone": str(backbone),
        "crop": 32,
        "batch": 1,
        "steps": 2,
        "codec_steps": 0,
        "lpips_from": 9,
        "warmup_steps": 0,
        "decay_steps": 0,
        "workers": 0,
        "sample_side": 32,
        "loss": {"codec": 0.0, "periodic": 0.0},
    }
    path.write_text(yaml.safe_dump(record))
    return path


@pytest.fixture(scope="module")
def launched(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes of one launch did all that they are looked at for."""
    folder = tmp_path_factory.mktemp("launched")
    train = ["train", "--config", str(config), "--run", str(folder / "two"), "--device", "cpu"]
    script = ROOT / "tests" / "harness" / "broken_run.py"
    _launch([str(script), str(folder), *train, "--export", str(folder / "two.safetensors")], folder)
    return folder


def test_two_processes_learn_what_one_learns_from_both_samples(config: Path, launched: Path, tmp_path: Path) -> None:
    assert (launched / "two.safetensors").exists()
    rows = (launched / "two" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2"]  # one process writes

    state = torch.load(launched / "two" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    start, both = _trained(config, tmp_path / "both", 2)
    _, first = _trained(config, tmp_path / "first", 1)
    two = nn.utils.parameters_to_vector(state["networks"].values())
    # Adam makes much of the last bits of small gradients
    assert (two - both).norm() < 0.01 * (both - start).norm()
    assert (two - first).norm() > 0.2 * (first - start).norm()


def test_two_processes_go_on_where_they_stopped(launched: Path, tmp_path: Path) -> None:
    """With a learner beside, and accumulated gradients: everything is as in an unbroken run."""
    unbroken, broken = (
        torch.load(launched / name / "checkpoint.pt", weights_only=True) for name in ("unbroken", "broken")
    )
    assert broken["step"] == unbroken["step"] == 3
    for part in ("networks", "average"):
        assert all(torch.equal(value, broken[part][name]) for name, value in unbroken[part].items())
    judges = [state["learners"]["judge"]["network"] for state in (unbroken, broken)]
    assert all(torch.equal(value, judges[1][name]) for name, value in judges[0].items())
    alone = Trainer(LineSubject, replace(line_config(3), batch=4), tmp_path / "alone", torch.device("cpu"))
    alone.train()
    expected = alone.networks.state_dict()
    assert all(torch.allclose(value, expected[name], atol=1e-5) for name, value in broken["networks"].items())


def _launch(command: list[str], folder: Path) -> None:
    # --multi_gpu is the launcher's word for several processes; where they compute is --device
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths}
    done = subprocess.run([*launch, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def _trained(config: Path, run: Path, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All weights before and after a run of one process."""
    trainer = Trainer(RestorerSubject, read_config(config, {"batch": batch}), run, torch.device("cpu"))
    start = nn.utils.parameters_to_vector(trainer.networks.state_dict().values())
    trainer.train()
    return start, nn.utils.parameters_to_vector(trainer.networks.state_dict().values())


def test_one_process_needs_no_launcher() -> None:
    alone = Processes(torch.device("cpu"))
    assert (alone.count, alone.index, alone.first, alone.device) == (1, 0, True, torch.device("cpu"))
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    alone.average_gradients([parameter])
    assert parameter.grad.tolist() == [1.0, 2.0]


def test_bf16_computes_in_it_and_keeps_weights() -> None:
    layer, picture = torch.nn.Linear(4, 4), torch.ones(1, 4)
    with Processes(torch.device("cpu"), "bf16").autocast():
        assert layer(picture).dtype == torch.bfloat16
    with Processes(torch.device("cpu"), "no").autocast():
        assert layer(picture).dtype == torch.float32


def test_precision_that_needs_scaled_gradients_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import accelerate

    class Half:
        mixed_precision = "fp16"

        def __init__(self, **options: object) -> None:
            del options

    monkeypatch.setattr(accelerate, "Accelerator", Half)
    with raises_naming(InputError, "fp16", "bf16", "no"):
        Processes(torch.device("cpu"))
