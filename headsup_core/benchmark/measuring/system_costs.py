"""Seconds and peak memory of whole systems, and what loading the pack adds, each in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ...host import Host
from ..comparing.system_names import with_paths, without_reference
from .fresh_processes import PROGRAMS, run_fresh, run_program


def cost_table(systems: Sequence[str], side: int = 1024, runs: int = 3) -> str:
    """Markdown: seconds and peak memory of each system from side / 4 to side x side, taken in turn.

    Peak memory is that of the whole process; the interpreter with torch alone stands in the last column.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
    for _ in range(runs):  # in turn, so that what else the machine does falls on all of them
        for name in systems:
            found[name].append(run_program("measure_system", name, str(side)))
    first = median(run["seconds"] for run in found[systems[0]])
    lines = [
        f"| {side // 4}x{side // 4} to {side}x{side} | seconds | against {systems[0]} | peak MB | bare process MB |",
        "|---" * 5 + "|",
    ]
    for name, results in found.items():
        seconds, peak, bare = (median(run[key] for run in results) for key in ("seconds", "peak", "bare"))
        label = Path(name).stem
        lines.append(f"| {label} | {seconds:.2f} | {seconds / first:.2f} | {peak / 1e6:.0f} | {bare / 1e6:.0f} |")
    return "\n".join(lines)


def import_seconds(pack: Path, comfyui: Path | None = None, runs: int = 5) -> float:
    """Median seconds that loading the pack takes, less those of an empty pack.

    Args:
        comfyui: a ComfyUI folder: the pack is loaded as its start does, nodes included, in a process that has
            ComfyUI's own modules. None: the pack and its core, in a process that has torch.

    Raises:
        HeadsUpError: it cannot be loaded there.
    """
    taken: dict[str, list[float]] = {"pack": [], "empty": []}
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
        for _ in range(runs):
            for name, folder in (("pack", str(pack)), ("empty", empty)):
                place = "" if comfyui is None else str(comfyui.resolve())
                taken[name].append(float(run_fresh(str(PROGRAMS / "time_import.py"), folder, place)))
    return median(taken["pack"]) - median(taken["empty"])


@dataclass(frozen=True)
class Cost:
    """Seconds, and peak memory of the whole process in bytes."""

    seconds: float
    peak: int


def usage_of(system: str, host: Host, side: int) -> Cost:
    """Seconds and memory of one system from a random picture of side / 4 to side x side, with the weights loaded.

    It is measured in a fresh process.

    Raises:
        HeadsUpError: it failed there.
    """
    found = run_program("measure_system", with_paths(system, host), str(side))
    return Cost(found["seconds"], int(found["peak"]))


def usage_table(systems: Sequence[str], host: Host, side: int) -> str:
    """Markdown: `usage_of` each; one that is given a photo costs as much as without, plus looking for the face."""
    names = list(dict.fromkeys(without_reference(system) for system in systems))
    lines = [f"| {side // 4}x{side // 4} to {side}x{side} | seconds | peak MB |", "|---" * 3 + "|"]
    for name in names:
        cost = usage_of(name, host, side)
        lines.append(f"| {Path(name).name} | {cost.seconds:.2f} | {cost.peak / 1e6:.0f} |")
    return "\n".join(lines)
