"""What a bulk run will be before it runs: pictures, megapixels, seconds, memory, and how many workers fit."""

from __future__ import annotations

import argparse
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from PIL import Image
from tqdm import tqdm

from ...bulk.engine import Engine
from ...bulk.items import Item
from ...errors import HeadsUpError, InputError
from ...restoring.plan.measure import calibration
from ...restoring.plan.upscale_plan import UpscalePlan, plan_upscale
from ..upscaling.prepared import prepare

log = logging.getLogger(__name__)

LOOKED_AT = 200
"""Pictures whose size is read, spread evenly over all."""
PLANNED = 8
"""Sizes among them that are planned one by one, for the time; the largest decides the memory."""
SPARE = 0.9
"""Share of the free memory that workers may take together."""


@dataclass(frozen=True)
class BulkPlan:
    """A run that has not begun.

    Attributes:
        looked_at: pictures whose size was read; the sums are theirs, carried over to all.
        megapixels: of all inputs together.
        seconds_each: of computing per picture on one worker.
        worker_bytes: main memory of one worker at its peak, with program and weights.
        device_bytes: memory of the device above the weights, of the largest picture looked at.
        fitting: workers that fit this machine; `why` says what stops further ones.
        workers: that the run would have here.
        hours: of the whole run with them.
    """

    pictures: int
    looked_at: int
    unreadable: int
    megapixels: float
    seconds_each: float
    worker_bytes: int
    device_bytes: int
    device: str
    fitting: int
    why: str
    workers: int
    hours: float

    def text(self) -> str:
        """A few lines for a person."""
        of = "" if self.looked_at == self.pictures else f" (from the sizes of {self.looked_at} of them)"
        bad = f"; {self.unreadable} of those looked at cannot be read" if self.unreadable else ""
        return "\n".join([
            f"{self.pictures} pictures, {self.megapixels:.1f} megapixels{of}{bad}",
            f"a worker: {self.seconds_each:.2f} s a picture on {self.device}, {self.worker_bytes / 1e9:.2f} GB",
            f"{self.fitting} worker{'s' * (self.fitting != 1)} fit here ({self.why})",
            f"with {self.workers}: {tqdm.format_interval(self.hours * 3600)}, "
            f"{self.workers / max(self.seconds_each, 1e-9):.2f} pictures a second if they share nothing that is scarce",
        ])

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return asdict(self)


def plan_bulk(items: Sequence[Item], args: argparse.Namespace, engine: Engine) -> BulkPlan:
    """Read sizes, measure the model on this machine, and say what all of it takes. Raises as `upscale` would."""
    step = max(1, len(items) // LOOKED_AT)
    looked = items[::step][:LOOKED_AT]
    sizes = [size for item in looked if (size := _size_of(item)) is not None]
    if not sizes:
        raise InputError(f"none of {len(looked)} pictures looked at can be read, the first is {looked[0].name}")
    prepared = prepare(args)
    session, host = prepared.sessions[0], prepared.host
    threads = torch.get_num_threads()
    torch.set_num_threads(engine.cpus or max(1, (os.cpu_count() or 1) // (engine.workers or 1)))
    try:
        costs = calibration(session.model.one_step, host)
    finally:
        torch.set_num_threads(threads)
    sizes.sort(key=lambda size: size[0] * size[1])
    chosen = sizes[:: max(1, -(-len(sizes) // PLANNED))]
    chosen = [*chosen, sizes[-1]]

    def planned(size: tuple[int, int]) -> UpscalePlan:
        return plan_upscale((1, *size), session, calibration=costs)

    plans = [planned(size) for size in chosen]
    seconds = sum(plan.seconds or 0.0 for plan in plans[:-1]) / len(plans[:-1])
    program = psutil.Process().memory_info().rss  # with the weights, which are loaded and were used
    worker_bytes = program + (plans[-1].main_bytes if host.device.type == "cpu" else plans[-1].pictures_bytes)
    fitting, why = _fitting(engine, worker_bytes)
    workers = 1 if engine.kind == "local" else (engine.workers or max(1, fitting))
    return BulkPlan(
        pictures=len(items),
        looked_at=len(looked),
        unreadable=len(looked) - len(sizes),
        megapixels=sum(height * width for height, width in sizes) / len(sizes) * len(items) / 1e6,
        seconds_each=seconds,
        worker_bytes=worker_bytes,
        device_bytes=plans[-1].device_bytes,
        device=str(host.device),
        fitting=fitting,
        why=why,
        workers=workers,
        hours=seconds * len(items) / workers / 3600,
    )


def _fitting(engine: Engine, worker_bytes: int) -> tuple[int, str]:
    cores, free = os.cpu_count() or 1, psutil.virtual_memory().available
    limits = {
        f"{cores} cores": cores // (engine.cpus or 1),
        f"{free / 1e9:.1f} GB of memory free": int(free * SPARE // worker_bytes),
    }
    if engine.gpus:
        count = torch.cuda.device_count()
        limits[f"{count} GPUs"] = int(count / engine.gpus)
    why, fitting = min(limits.items(), key=lambda limit: limit[1])
    return fitting, why


def _size_of(item: Item) -> tuple[int, int] | None:
    """(height, width); None when it cannot be read, which the run will say."""
    try:
        with Image.open(io.BytesIO(item.read())) as image:
            return image.height, image.width
    except (HeadsUpError, OSError, ValueError, Image.DecompressionBombError):
        return None
