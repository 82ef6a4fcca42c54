"""The training loop, whatever it trains: here a line."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from harness.lines import Judge, LineConfig, LineSubject
from harness.refusals import raises_naming
from harness.training import CONFIGS, killed_after_a_checkpoint

from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.training.losses.companions import Restoration
from headsup_core.training.processes import Processes
from headsup_core.training.schedule import TimeLimit
from headsup_core.training.trainer import Trainer

CPU = torch.device("cpu")


def trained(config: LineConfig, folder: Path) -> Trainer[LineConfig, LineSubject]:
    trainer = Trainer(LineSubject, config, folder, CPU)
    trainer.train()
    return trainer


def weights(trainer: Trainer[LineConfig, LineSubject]) -> dict[str, torch.Tensor]:
    """The weights of everything that learns, and the averages."""
    judge = trainer.subject.learners["judge"].network.state_dict()
    averaged = {f"average.{name}": value for name, value in trainer.average.module.state_dict().items()}
    return {**trainer.networks.state_dict(), **averaged, **{f"judge.{name}": value for name, value in judge.items()}}


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_accumulated_batches_are_one_step_of_the_large_batch(tmp_path: Path) -> None:
    large = trained(LineConfig(batch=6, steps=4, seed=3), tmp_path / "large")
    small = trained(LineConfig(batch=2, accumulate=3, steps=4, seed=3), tmp_path / "small")
    first = trained(LineConfig(batch=2, steps=4, seed=3), tmp_path / "first")
    expected, others = weights(large), weights(first)
    for name, value in weights(small).items():
        assert torch.allclose(value, expected[name], atol=1e-5), name
        assert not torch.allclose(value, others[name], atol=1e-3), name
    for mine, theirs in zip(log_of(tmp_path / "small"), log_of(tmp_path / "large"), strict=True):
        for name in ("step", "line", "judge", "judge_own"):
            assert float(mine[name]) == pytest.approx(float(theirs[name]), abs=1e-5)


def test_a_killed_run_goes_on_exactly(tmp_path: Path) -> None:
    config = LineConfig(batch=2, accumulate=2, steps=5, noise=1.0)
    state = torch.get_rng_state()
    whole = trained(config, tmp_path / "whole")
    assert torch.equal(state, torch.get_rng_state())
    killed = Trainer(LineSubject, config, tmp_path / "killed", CPU)
    assert killed.subject.begun == 1
    with killed_after_a_checkpoint():
        killed.train()
    torch.randn(5)  # whatever is drawn in between
    resumed = Trainer(LineSubject, config, tmp_path / "killed", CPU)
    assert (resumed.step, resumed.subject.begun) == (2, 0)
    resumed.train()
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(resumed).items())
    assert [row["step"] for row in log_of(tmp_path / "killed")] == ["1", "2", "3", "4", "5"]
    other = trained(replace(config, seed=1), tmp_path / "other")
    assert not torch.equal(weights(other)["weight"], expected["weight"])


def test_the_averaged_weights_are_exported(tmp_path: Path) -> None:
    trainer = trained(LineConfig(batch=2, steps=3, ema=0.9), tmp_path / "run")
    trainer.export(tmp_path / "line.pt")
    exported = torch.load(tmp_path / "line.pt", weights_only=True)
    averaged = trainer.average.module.state_dict()
    assert all(torch.equal(value, averaged[name]) for name, value in exported.items())
    assert not torch.equal(exported["weight"], trainer.networks.state_dict()["weight"])
    plain = trained(LineConfig(batch=2, steps=3, ema=0.0), tmp_path / "plain")
    assert torch.equal(plain.average.module.state_dict()["weight"], plain.networks.state_dict()["weight"])


def test_a_learners_gradients_add_up_and_are_clipped() -> None:
    torch.manual_seed(0)
    judge, processes, chance = Judge(), Processes(CPU, "no"), torch.Generator()
    seen = torch.randn(4, 1) * 10
    judge.own_loss(Restoration(seen, seen), chance).backward()
    expected = [parameter.grad.clone() for parameter in judge.network.parameters() if parameter.grad is not None]
    for half in seen.split(2):
        judge.gather(Restoration(half, half), chance, processes, 0.5)
    judge.step(processes)
    found = [parameter.grad for parameter in judge.network.parameters()]
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True) if a is not None)
    judge.gather(Restoration(seen, seen), chance, processes)
    judge.step(processes, grad_clip=0.5)
    clipped = [parameter.grad.flatten() for parameter in judge.network.parameters() if parameter.grad is not None]
    assert torch.cat(clipped).norm().item() == pytest.approx(0.5, rel=1e-3)
    judge.step(processes)  # nothing was gathered since
    assert all(parameter.grad is None for parameter in judge.network.parameters())


def test_what_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with raises_naming(InputError, "accumulate", 0):
        LineConfig(accumulate=0)
    with raises_naming(InputError, "fall", "stairs"):
        LineConfig(fall="stairs")  # type: ignore[arg-type]
    with raises_naming(InputError, "stepz"):
        LineConfig.from_record({"stepz": 3}, tmp_path)
    path = tmp_path / "unknown.yaml"
    path.write_text(yaml.safe_dump({"trains": "poets"}))
    assert main(["train", "--config", str(path), "--run", str(tmp_path / "run")]) == 2
    assert "choose one of restorer, idfsr, face-landmarks" in capsys.readouterr().err
    known = ["train", "--config", str(CONFIGS / "headsup-tiny.yaml"), "--run", str(tmp_path / "run")]
    for export, said in (("/proc/a/b.safetensors", "cannot be written"), ("b.pt", "ends in .safetensors")):
        assert main([*known, "--export", export]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # before anything is trained


def test_a_run_ends_with_its_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def clock() -> float:
        now[0] += 6.0
        return now[0]

    monkeypatch.setattr("headsup_core.training.schedule.time.monotonic", clock)
    config = LineConfig(batch=2, steps=50, learning_rate=1e-2, warmup_steps=0, decay_steps=0, minutes=1.0)

    ended = trained(config, tmp_path)

    assert ended.step == 10  # asked once a step, each time six seconds later
    rates = [float(row["lr"]) for row in log_of(tmp_path)]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[5:] == pytest.approx([1e-2, 9e-3, 6e-3, 3e-3, 0], abs=1e-6)
    with pytest.raises(InputError):
        LineConfig(minutes=-1)


def test_the_minutes_that_are_left_are_those_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("headsup_core.training.schedule.time.monotonic", lambda: now[0])
    limit = TimeLimit(10)
    now[0] += 120
    assert limit.minutes_of(900) == pytest.approx(8)
    assert limit.minutes_of(3) == pytest.approx(3)
    assert TimeLimit(0).minutes_of(900) == 900
