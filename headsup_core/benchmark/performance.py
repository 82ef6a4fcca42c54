"""Speed and memory as ratios, measured in one run, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

MEASURE = """
import json, resource, sys, time
import torch
import headsup_core as hu
options = json.loads(sys.argv[1])
host = hu.PlainHost("cpu", quiet=True)
model = hu.load_model(options["model"], host=host, dtype=options["dtype"])
side = options["side"] // 4
hu.restore(torch.zeros(1, 3, 16, 16), model, 4, host=host)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
started = time.perf_counter()
report = hu.restore(picture, model, 4, host=host, tile=options["tile"], tile_batch=options["tile_batch"]).report
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "bytes": (peak - before) * 1024, "work": report.work_ratio}))
"""

IMPORT = """
import importlib.util, sys, time
import torch, psutil, tqdm, PIL.Image
started = time.perf_counter()
where = sys.argv[1]
spec = importlib.util.spec_from_file_location("pack", where + "/__init__.py", submodule_search_locations=[where])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
import pack.headsup_core
print(time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Setting:
    """One way to restore a random picture of side / 4 to side x side; tile 0 is automatic."""

    name: str
    side: int
    tile: int = 0
    tile_batch: int = 1
    dtype: str = "float32"
    model: str = "headsup-tiny"


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


def measure(setting: Setting, runs: int) -> Usage:
    """Run `setting` in `runs` fresh processes. Raises `RuntimeError` with the child's output when one fails."""
    results: list[dict[str, float]] = []
    for _ in range(runs):
        results.append(json.loads(_child(MEASURE, json.dumps(asdict(setting)))))
    first = results[0]
    return Usage(median(r["seconds"] for r in results), int(median(r["bytes"] for r in results)), first["work"])


def ratio_table(model: str, runs: int = 3) -> str:
    """Markdown: each setting against its baseline."""
    found: dict[Setting, Usage] = {}
    lines = ["| setting | against | seconds | ratio | peak MB | ratio | area computed |", "|---" * 7 + "|"]
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


def import_seconds(pack: Path, runs: int = 5) -> float:
    """Median seconds that importing the pack and its core adds to a process that has torch already, as ComfyUI has."""
    return median(float(_child(IMPORT, str(pack))) for _ in range(runs))


def _child(code: str, *arguments: str) -> str:
    command: Sequence[str] = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)  # noqa: S603 - our own code
    if done.returncode != 0:
        raise RuntimeError(f"measuring failed: {done.stderr.strip()}")
    return done.stdout.strip().splitlines()[-1]
