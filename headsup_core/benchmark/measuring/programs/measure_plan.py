"""A plan's memory and time beside those of the restoration that it plans: MODEL SIDE TILE THREADS [calibrate]."""

from __future__ import annotations

import json
import sys
import time

import torch

from ....host import PlainHost
from ....restoring.options import RestoreOptions
from ....restoring.pipeline import restore
from ....restoring.plan.measure import MemoryPeak, calibration
from ....restoring.plan.upscale_plan import plan_upscale
from ....restoring.session import Session
from ..random_model import load_measured


def main(name: str, side: int, tile: int, calibrate: bool) -> dict[str, float]:
    """`planned` and measured peak `bytes`, `expected` and measured `seconds`, `tiles` and their side `tile`.

    With `calibrate` the model is calibrated on this machine, and nothing else.
    """
    host = PlainHost("cpu", quiet=True)
    model = load_measured(name, host)
    shape, costs = (1, side // 4, side // 4), calibration(model.one_step, host, measure=calibrate)
    session = Session(model, RestoreOptions(scale=4, tile=tile or None), host)
    plan = plan_upscale(shape, session, calibration=costs)
    if calibrate:
        return {}
    picture = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    restore(torch.zeros(1, 3, 16, 16), model, scale=4, host=host)
    started = time.perf_counter()
    with MemoryPeak(host.device) as peak:
        report = restore(picture, model, scale=4, tile=plan.tile, host=host).report
    seconds = time.perf_counter() - started
    done = (report.tile, report.tiles, report.output_size)
    if done != (plan.tile, len(plan.tiles.tiles), plan.output_size):
        raise RuntimeError(f"planned tile {plan.tile}, {len(plan.tiles.tiles)} tiles, but restored with {done}")
    return {
        "bytes": peak.bytes,
        "planned": plan.peak_bytes,
        "seconds": seconds,
        "expected": plan.seconds or 0.0,
        "tiles": report.tiles,
        "tile": report.tile,
    }


if __name__ == "__main__":
    name, side, tile, threads, *rest = sys.argv[1:]
    if int(threads):
        torch.set_num_threads(int(threads))
    sys.stdout.write(json.dumps(main(name, int(side), int(tile), bool(rest))) + "\n")
