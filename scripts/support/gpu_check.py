"""`scripts/gpu_check`: measures the pack on a device and writes `gpu_check.json` and `gpu_check.md`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

import headsup_core as hu
from headsup_core.benchmark.measuring.random_model import NAME, load_measured
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.plan.calibration import device_name

from .console import say
from .gpu.checks import run_all
from .gpu.trial import FAILED, Outcome, Trial
from .paths import OUTPUT

MODELS = ("headsup-tiny", NAME)
SIDES = (512, 1024, 2048)
PRECISIONS = ("float32", "bfloat16", "float16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: all is well; 1: a check failed; 2: wrong use."""
    args = _parser().parse_args(arguments)
    try:
        host = hu.PlainHost(args.device, args.models_dir, quiet=True)
        trials = _trials(args, host)
    except hu.HeadsUpError as error:
        say(f"error: {error}")
        return 2
    environment = environment_of(host.device)
    say(", ".join(f"{key} {value}" for key, value in environment.items()))
    outcomes: list[Outcome] = []
    for trial in trials:
        for outcome in run_all(trial, compiling=args.compile or trial.on_gpu):
            say(line_of(outcome))
            outcomes.append(outcome)
    args.output.mkdir(parents=True, exist_ok=True)
    record = {"environment": environment, "outcomes": [asdict(outcome) for outcome in outcomes]}
    (args.output / "gpu_check.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (args.output / "gpu_check.md").write_text(tables(environment, outcomes), encoding="utf-8")
    failed = sum(outcome.verdict == FAILED for outcome in outcomes)
    say(f"{len(outcomes)} results, {failed} failed: {args.output / 'gpu_check.json'}, {args.output / 'gpu_check.md'}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu_check",
        description="Measure the pack on a device: pictures against the CPU's, speed, memory against the plan, "
        "recovery from running out of memory, and whether torch.compile and channels_last pay. Needs no ComfyUI and no "
        "network.",
    )
    parser.add_argument("--device", help="cuda, cuda:1, mps, cpu; default: CUDA when there is one, else the CPU")
    parser.add_argument(
        "--models", type=_names, default=MODELS, help=f"by comma; default {','.join(MODELS)} (random weights at a "
        "quarter of Stable Diffusion's width), or files of models that are complete in themselves",
    )  # fmt: skip
    parser.add_argument("--adapter", help="a published system's file, checked instead of --models; needs --base")
    parser.add_argument("--base", help="what the adapter goes beside")
    parser.add_argument("--models-dir", type=Path, help="ComfyUI's folder models, for names")
    parser.add_argument("--sides", type=_numbers, default=SIDES, help="of the results in pixels; default 512,1024,2048")
    parser.add_argument("--dtypes", type=_names, default=PRECISIONS, help=f"default {','.join(PRECISIONS)}")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each setting; the median counts; default 3")
    parser.add_argument("--compile", action="store_true", help="try torch.compile on a CPU as well")
    parser.add_argument("--output", type=Path, default=OUTPUT / "gpu-check", help="folder; default output/gpu-check")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(name) for name in _names(text))


def _trials(args: argparse.Namespace, host: hu.PlainHost) -> list[Trial]:
    if unknown := [name for name in args.dtypes if name not in PRECISIONS]:
        raise hu.InputError(f"dtype {unknown[0]!r}: choose from {', '.join(PRECISIONS)}")
    if not args.sides or min(args.sides) < 64 or args.runs < 1:
        raise hu.InputError(f"sides {args.sides}, runs {args.runs}: sides must be at least 64 px, runs at least 1")
    if bool(args.adapter) != bool(args.base):
        raise hu.InputError("give --adapter and --base together, or neither")
    others = (tuple(sorted(args.sides)), args.dtypes, args.runs)
    if args.adapter:
        load = partial(_adapted, args.adapter, args.base)
        return [Trial(Path(args.adapter).name, load, host, True, *others)]
    return [Trial(name, partial(_whole, name), host, name != NAME, *others) for name in args.models]


def _whole(name: str, precision: str, host: hu.PlainHost) -> HeadsUpModel:
    return load_measured(name, host, precision)


def _adapted(adapter: str, base: str, precision: str, host: hu.PlainHost) -> HeadsUpModel:
    return hu.load_model(adapter=adapter, base=base, dtype=precision, host=host)


def environment_of(device: torch.device) -> dict[str, Any]:
    """What the figures hold for."""
    found: dict[str, Any] = {
        "device": device_name(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["memory GB"] = round(properties.total_memory / 1e9, 1)
        found["capability"] = f"{properties.major}.{properties.minor}"
        found["CUDA"] = torch.version.cuda or torch.version.hip
    else:
        found["threads"] = torch.get_num_threads()
    return found


def line_of(outcome: Outcome) -> str:
    """One outcome for the terminal."""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in outcome.figures.items())
    said = f"{outcome.verdict} {outcome.why}".strip()
    parts = (f"{outcome.check}: {outcome.model}, {outcome.setting}", figures, said)
    return " | ".join(part for part in parts if part)


def tables(environment: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Markdown: the environment, and a table for each check."""
    lines = ["# GPU check", "", *(f"* {key}: {value}" for key, value in environment.items())]
    for check in dict.fromkeys(outcome.check for outcome in outcomes):
        here = [outcome for outcome in outcomes if outcome.check == check]
        names = list(dict.fromkeys(name for outcome in here for name in outcome.figures))
        columns = ["model", "setting", *names, "verdict"]
        lines += ["", f"## {check}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for one in here:
            figures = [f"{one.figures[name]:.4g}" if name in one.figures else "" for name in names]
            verdict = f"{one.verdict}: {one.why}" if one.why else one.verdict
            lines.append(f"| {' | '.join([one.model, one.setting, *figures, verdict])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
