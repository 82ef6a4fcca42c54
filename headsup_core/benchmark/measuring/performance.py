"""Time and memory of `restore()` by size, tiles and overlap, each measured in a process of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from .fresh_processes import run_program


@dataclass(frozen=True)
class Setting:
    """One way to restore a random picture of side / 4 to side x side; tile 0 is automatic."""

    name: str
    side: int
    tile: int = 0
    tile_batch: int = 1
    dtype: str = "float32"
    model: str = "headsup-tiny"
    overlap: int | None = None


@dataclass(frozen=True)
class Usage:
    """Median seconds, peak memory above the loaded model, and processed area / picture area."""

    seconds: float
    bytes: int
    work: float


def settings(model: str) -> list[tuple[Setting, Setting]]:
    """(setting, its baseline)."""
    whole = {side: Setting(f"{side} px, one tile", side, 8192, model=model) for side in (512, 1024, 2048)}
    tiled = Setting("1024 px, tile 512", 1024, 512, model=model)
    return [
        (tiled, whole[1024]),
        (Setting("2048 px, tile 512", 2048, 512, model=model), whole[2048]),
        (Setting("2048 px, tile 1024", 2048, 1024, model=model), whole[2048]),
        (Setting("1024 px, tile 512, tile batch 4", 1024, 512, 4, model=model), tiled),
        (Setting("512 px, bfloat16", 512, 8192, dtype="bfloat16", model=model), whole[512]),
        (whole[1024], whole[512]),
        (whole[2048], whole[512]),
    ]


def measure(setting: Setting, runs: int, save: str = "") -> Usage:
    """Run `setting` in `runs` fresh processes. Raises `HeadsUpError` when one fails.

    Args:
        save: write the restored picture into this file.
    """
    results = [run_program("measure_setting", json.dumps({**asdict(setting), "save": save})) for _ in range(runs)]
    first = results[0]
    return Usage(median(r["seconds"] for r in results), int(median(r["bytes"] for r in results)), first["work"])


def ratio_table(model: str, runs: int = 3) -> str:
    """Markdown: each setting against its baseline."""
    found: dict[Setting, Usage] = {}
    header = "setting | against | seconds | ratio | peak MB above the weights | ratio | area computed"
    lines = [f"| {header} |", "|---" * 7 + "|"]
    for setting, baseline in settings(model):
        for each in (baseline, setting):
            if each not in found:
                found[each] = measure(each, runs)
        own, base = found[setting], found[baseline]
        lines.append(
            f"| {setting.name} | {baseline.name} | {own.seconds:.2f} | {own.seconds / base.seconds:.2f} "
            f"| {own.bytes / 1e6:.0f} | {own.bytes / max(1, base.bytes):.2f} | {own.work:.2f} |"
        )
    return "\n".join(lines)


def size_table(model: str, sides: Sequence[int], runs: int = 1) -> str:
    """Markdown: time and memory of the default settings against the output's size."""
    header = "output | seconds | peak MB above the weights | bytes a pixel | growth | area computed"
    lines = [f"| {header} |", "|---" * 6 + "|"]
    before: tuple[int, Usage] | None = None
    for side in sides:
        used = measure(Setting(f"{side} px", side, model=model), runs)
        growth = (
            ""
            if before is None
            else (f"{used.bytes / max(1, before[1].bytes):.2f} times at {side**2 / before[0] ** 2:.0f} times the area")
        )
        lines.append(
            f"| {side}x{side} | {used.seconds:.1f} | {used.bytes / 1e6:.0f} | {used.bytes / side**2:.0f} | {growth} "
            f"| {used.work:.2f} |"
        )
        before = side, used
    return "\n".join(lines)


def overlap_table(model: str, side: int, tile: int, overlaps: Sequence[int]) -> str:
    """Markdown: what an overlap costs and what it does for the picture, against one tile; overlaps in pixels."""
    header = "overlap | area computed | seconds | peak MB | tiled - untiled, largest / mean | largest in 8-bit levels"
    lines = [f"| {header} |", "|---" * 6 + "|"]
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "restored.pt")

        def restored(setting: Setting) -> tuple[Usage, torch.Tensor]:
            return measure(setting, 1, file), torch.load(file, weights_only=True)

        _, whole = restored(Setting("one tile", side, 8192, model=model))
        for overlap in overlaps:
            used, image = restored(Setting(f"overlap {overlap}", side, tile, model=model, overlap=overlap))
            difference = (image - whole).abs()
            most = float(difference.max())
            lines.append(
                f"| {overlap} | {used.work:.2f} | {used.seconds:.1f} | {used.bytes / 1e6:.0f} "
                f"| {most:.4f} / {float(difference.mean()):.5f} | {most * 255:.1f} |"
            )
    return "\n".join(lines)
