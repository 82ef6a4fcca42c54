"""How far a plan's memory and time are from what a restoration takes, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .fresh_processes import run_program


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
        given = (str(tile), str(torch.get_num_threads()))
        run_program("measure_plan", model, str(sides[0]), *given, "calibrate")
        for side in sides:
            found = run_program("measure_plan", model, str(side), *given)
            planned, measured = found["planned"], found["bytes"]
            cells = [Path(model).stem, f"{side}x{side}", f"{found['tiles']:.0f}"]
            cells += [f"{planned / 1e6:.0f}", f"{measured / 1e6:.0f}", f"{100 * (planned / measured - 1):+.0f} %"]
            cells += [f"{found['expected']:.1f}", f"{found['seconds']:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
