"""Measuring what tiles of a model cost here: each network over one small and one larger tile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

import psutil
import torch
from typing_extensions import Self

from ...host import Host, trim_heap
from ...imaging.tile_plan import Tile
from ...models.codecs.exact_parts import LEAST_SIDE, Parts
from ...models.one_step import OneStepModel
from ..network_stages import codec_stages, unet_stage
from ..tiling.tile_memory import FLOAT
from ..tiling.tiled_run import Stage
from .calibration import Calibration, PartsCost, StageCost, read_calibration, write_calibration

SIDES = (256, 512)
"""Sides of the measured tiles, in output pixels. Below 256 px the C library's own keeping of memory counts for more
than the tile."""
FIRST_SIDE = 64
"""Side of the pictures of the first calls."""
PART_SIDES = (LEAST_SIDE, 2 * LEAST_SIDE)
"""Sides of the measured parts, of pictures of twice that size: their maps of half the size have the most channels, and
still fill a part. On a CPU the first alone, since no larger ones are used there."""
SLOW_SECONDS = 6.0
"""When the small tile takes longer than this in all, the larger one is left out."""
SAMPLING_SECONDS = 0.001


@dataclass(frozen=True)
class Cost:
    """Peak bytes above what was there before, on the device, and seconds."""

    bytes: float
    seconds: float


class MemoryPeak:
    """A context that measures the memory a computation takes at its peak, beyond what was there when it began.

    On CUDA what torch's allocator gave out. Elsewhere the process's resident memory, looked at every millisecond by a
    thread: it holds the buffers of libraries too (oneDNN's reordered copies, a third of a convolution's memory), which
    torch's profiler does not see.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = self._peak = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            trim_heap()
            self._before = self._peak = _resident()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self._peak = torch.cuda.max_memory_allocated(self._device)
        else:
            self._done.set()
            self._thread.join()
            self._peak = max(self._peak, _resident())
        self.bytes = self._peak - self._before

    def _watch(self) -> None:
        while not self._done.wait(SAMPLING_SECONDS):
            self._peak = max(self._peak, _resident())


def calibration(model: OneStepModel, host: Host, *, measure: bool = True) -> Calibration | None:
    """What tiles of `model` cost on the host's device, for `plan_upscale`.

    Args:
        measure: measure and keep it if that was not done before (some seconds for a small model); False: only read what
            was kept.
    """
    known = read_calibration(model, host.device)
    if known is None and measure:
        known = calibrate(model, host)
        write_calibration(known, model, host.device)
    return known


@torch.no_grad()
def calibrate(model: OneStepModel, host: Host) -> Calibration:
    """Measure now: some seconds for a small model. Random pictures; nothing of the model is changed."""
    host.load(model.networks, 0)
    prompt = model.prompt.embeddings(None)
    multiple = model.size_rule.multiple
    sides = sorted({max(model.size_rule.minimum, -(-side // multiple) * multiple) for side in SIDES})
    generator = torch.Generator().manual_seed(0)
    smallest = torch.rand(1, 3, sides[0], sides[0], generator=generator)
    observation = None
    if model.observer is not None:
        observation = model.observer.observe(smallest.to(host.device), smallest.to(host.device))
    encode, decode = codec_stages(model, observation)
    stages = (encode, unet_stage(model, prompt, observation), decode)
    sizes: list[int] = []
    costs: dict[str, list[Cost]] = {stage.name: [] for stage in stages}
    # the first calls build kernels, on little more than nothing
    first = -(-FIRST_SIDE // multiple) * multiple
    for stage, source in zip(stages, _sources(model, torch.zeros(1, 3, first, first)), strict=True):
        _call(stage, source, host.device)
    for side in sides:
        picture = torch.rand(1, 3, side, side, generator=generator)
        for stage, source in zip(stages, _sources(model, picture), strict=True):
            host.check_cancelled()
            costs[stage.name].append(measured(lambda s=stage, x=source: _call(s, x, host.device), host.device))
        sizes.append(side * side)
        if sum(found[-1].seconds for found in costs.values()) > SLOW_SECONDS:
            break
    measured_stages = [
        StageCost(tuple(sizes), tuple(cost.bytes for cost in found), tuple(cost.seconds for cost in found))
        for found in costs.values()
    ]
    return Calibration(*measured_stages, parts=_parts_cost(model, host, generator))


def measured(run: Callable[[], object], device: torch.device) -> Cost:
    """`run` once, with what it returns alive until the end."""
    with MemoryPeak(device) as peak:
        started = time.perf_counter()
        result = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
    del result
    return Cost(max(0, peak.bytes), seconds)


def _call(stage: Stage, source: torch.Tensor, device: torch.device) -> torch.Tensor:
    """One tile as `run_tiled` treats it: copied out of the picture, computed, brought back."""
    height, width = (size // stage.in_scale for size in source.shape[-2:])
    return stage.run(source.clone().to(device), [Tile(0, height, 0, width)]).float().cpu()


def _parts_cost(model: OneStepModel, host: Host, generator: torch.Generator) -> PartsCost | None:
    sides = PART_SIDES[:1] if host.device.type == "cpu" else PART_SIDES
    if model.codec.parts_memory(sides[0], sides[0]) is None:
        return None
    found = [_costs_in_parts(model, host, side, generator) for side in sides]
    encode, decode = (cost.seconds / (2 * sides[-1]) ** 2 for cost in found[-1])
    working = tuple(max(cost.bytes for cost in costs) for costs in found)
    return PartsCost(tuple(side**2 for side in sides), working, encode, decode)


def _costs_in_parts(
    model: OneStepModel, host: Host, side: int, generator: torch.Generator
) -> tuple[Cost, Cost]:
    """What encoder and decoder take over a picture of 2 x 2 parts, without what stays in main memory."""
    height = width = 2 * side
    parts = Parts(side, host.device, host.check_cancelled)
    picture = torch.rand(1, 3, height, width, generator=generator).to(model.dtype)
    latent = _latent(model, height, width).to(model.dtype)
    modulated = None
    if model.observer is not None:
        small = picture.to(host.device).float()
        modulated = model.observer.observe(small, small).encoder
    encode = measured(lambda: model.codec.encode_in_parts(picture, parts, modulated), host.device)
    decode = Cost(0, 0.0)  # a quick decoder runs over tiles
    if model.codec.quick_decoder is None:
        decode = measured(lambda: model.codec.decode_in_parts(latent, parts), host.device)
    if host.device.type != "cpu":
        return encode, decode
    copied = 3 * FLOAT * height * width  # in -1..1, counted among the pictures
    beside = copied + (model.codec.parts_memory(height, width) or 0)
    encode, decode = (replace(cost, bytes=max(0.0, cost.bytes - beside)) for cost in (encode, decode))
    return encode, decode


def _sources(model: OneStepModel, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What encoder, UNet and decoder take for a picture."""
    return picture, _latent(model, *picture.shape[-2:]), _decoded(model, picture)


def _latent(model: OneStepModel, height: int, width: int) -> torch.Tensor:
    factor, generator = model.codec.factor, torch.Generator().manual_seed(1)
    return torch.randn(1, model.codec.channels, height // factor, width // factor, generator=generator)


def _decoded(model: OneStepModel, picture: torch.Tensor) -> torch.Tensor:
    """A latent as the decoder takes it: with the picture beside it, where there are skips."""
    latent = _latent(model, *picture.shape[-2:])
    if model.codec.skips is None:
        return latent
    return torch.cat([latent, torch.nn.functional.pixel_unshuffle(picture, model.codec.factor)], dim=1)


def _resident() -> int:
    return psutil.Process().memory_info().rss
