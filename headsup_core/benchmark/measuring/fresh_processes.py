"""Code run in fresh processes, so that one measurement leaves neither memory nor imports to the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ...errors import HeadsUpError

MEASURE = """
import json, sys, time
from pathlib import Path
import torch
import headsup_core as hu
from headsup_core.benchmark.measuring.fresh_processes import forget_peak, held_bytes, peak_bytes
from headsup_core.benchmark.measuring.random_model import load_measured
from headsup_core.benchmark.comparing.contestants import make_systems

options = json.loads(sys.argv[1])
host = hu.PlainHost("cpu", quiet=True)
side = options["side"]
picture = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
small = torch.zeros(1, 3, 16, 16)
bare = peak_bytes()
if options["system"]:
    system = make_systems([options["system"]], host)[0]
    system.upscale(small, 64, 64)
    def run():
        system.upscale(picture, side, side)
        return 1.0
else:
    model = load_measured(options["model"], host, options["dtype"])
    loaded = held_bytes()
    hu.restore(small, model, 4, host=host)
    def run():
        done = hu.restore(
            picture, model, 4, host=host, tile=options["tile"], overlap=options["overlap"],
            tile_batch=options["tile_batch"],
        )
        if options["save"]:
            torch.save(done.image, options["save"])
        return done.report.work_ratio
if not options["system"]:
    forget_peak()
started = time.perf_counter()
work = run()
seconds = time.perf_counter() - started
peak = peak_bytes()
taken = 0 if options["system"] else peak - loaded
print(json.dumps({"seconds": seconds, "bytes": taken, "peak": peak, "bare": bare, "work": work}))
"""

PLAN = """
import json, sys, time
import torch
import headsup_core as hu
from headsup_core.benchmark.measuring.random_model import load_measured
from headsup_core.restoring.plan.measure import MemoryPeak
from headsup_core.restoring.plan.upscale_plan import plan_upscale

options = json.loads(sys.argv[1])
if options["threads"]:
    torch.set_num_threads(options["threads"])
host = hu.PlainHost("cpu", quiet=True)
side = options["side"]
model = load_measured(options["model"], host)
plan = plan_upscale((side // 4, side // 4), model, 4, tile=options["tile"], calibrate=options["calibrate"], host=host)
if options["calibrate"]:
    print(json.dumps({}))
else:
    picture = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    hu.restore(torch.zeros(1, 3, 16, 16), model, 4, host=host)
    started = time.perf_counter()
    with MemoryPeak(host.device) as peak:
        report = hu.restore(picture, model, 4, tile=options["tile"], host=host).report
    seconds = time.perf_counter() - started
    assert (report.tile, report.tiles, report.output_size) == (plan.tile, len(plan.tiles.tiles), plan.output_size)
    print(json.dumps({"bytes": peak.bytes, "planned": plan.peak_bytes, "seconds": seconds, "expected": plan.seconds,
                      "tiles": report.tiles, "tile": report.tile}))
"""

IMPORT = """
import asyncio, importlib.util, sys, time
where, comfyui = sys.argv[1:]
import torch, psutil, tqdm, PIL.Image
if comfyui:
    sys.path.insert(0, comfyui)
    import comfy.options
    sys.argv = ["main.py", "--cpu"]
    comfy.options.enable_args_parsing()
    import nodes
    import comfy_api.latest
started = time.perf_counter()
spec = importlib.util.spec_from_file_location("pack", where + "/__init__.py", submodule_search_locations=[where])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
if comfyui and hasattr(module, "comfy_entrypoint"):
    async def start():
        await (await module.comfy_entrypoint()).get_node_list()
    asyncio.run(start())
elif hasattr(module, "comfy_entrypoint"):
    import pack.headsup_core
print(time.perf_counter() - started)
"""


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would begin at the parent's peak, which outlives fork and exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import psutil

    peak: int | None = getattr(psutil.Process().memory_info(), "peak_wset", None)  # Windows
    if peak is None:
        import resource  # macOS, which counts in bytes

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


def held_bytes() -> int:
    """Resident memory of this process now."""
    import psutil

    return psutil.Process().memory_info().rss


def forget_peak() -> None:
    """Let `peak_bytes` begin anew, where the system can (Linux); elsewhere what came before still counts."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def run_fresh(code: str, *arguments: str) -> str:
    """Last line that `code` prints in a new interpreter that finds `headsup_core`.

    Raises:
        HeadsUpError: it failed; with the last line of its error.
    """
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True, cwd=root, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise HeadsUpError(f"a measurement in a process of its own failed: {reason}")
    return done.stdout.strip().splitlines()[-1]
