"""Run by every process of a launch: `broken_run.py FOLDER COMMAND...` trains a line in one go and in two, and then runs
a command of `headsup_core`: starting processes takes longer than what they do."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from harness.lines import LineConfig, LineSubject
from headsup_core import cli
from headsup_core.training.trainer import Trainer


def main(folder: Path, command: list[str]) -> int:
    for name, stops in (("unbroken", (3,)), ("broken", (2, 3))):
        for steps in stops:
            trainer = Trainer(LineSubject, line_config(steps), folder / name, torch.device("cpu"))
            trainer.train()
    return cli.main(command)  # which parts the processes at its end


def line_config(steps: int) -> LineConfig:
    """A configuration of a constant learning rate, so that a run may stop early."""
    return LineConfig(batch=2, accumulate=2, steps=steps, warmup_steps=0, decay_steps=0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
