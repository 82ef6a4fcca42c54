"""How far a plan's memory and time are from what a restoration takes, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from .fresh_processes import PLAN, run_fresh


def estimate_table(models: Sequence[str], sides: Sequence[int], tile: int = 0) -> str:
    """Markdown: planned against measured peak memory and seconds on the CPU.

    Peak memory is the process's resident memory beyond that of the loaded model: pictures, activations, buffers of
    libraries. The models are calibrated first, in processes of their own, unless they have been before.

    Args:
        models: files of models that are complete in themselves.
        sides: of the results in pixels; a random picture of a quarter of it is restored.
        tile: as for `restore()`; 0: the largest that fits.

    Raises:
        HeadsUpError: a process failed.
    """
    lines = [
        "| model | output | tiles | planned MB | measured MB | error | planned s | measured s |",
        "|---" * 8 + "|",
    ]
    for model in models:
        options = {"model": model, "tile": tile, "threads": torch.get_num_threads()}
        run_fresh(PLAN, json.dumps({**options, "side": sides[0], "calibrate": True}))
        for side in sides:
            found = json.loads(run_fresh(PLAN, json.dumps({**options, "side": side, "calibrate": False})))
            planned, measured = found["planned"], found["bytes"]
            lines.append(
                f"| {Path(model).stem} | {side}x{side} | {found['tiles']} | {planned / 1e6:.0f} | {measured / 1e6:.0f} "
                f"| {100 * (planned / measured - 1):+.0f} % | {found['expected']:.1f} | {found['seconds']:.1f} |"
            )
    return "\n".join(lines)
