"""The checks: pictures against the CPU's, speed, memory against the plan, recovery from running out, faster ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

import headsup_core as hu
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.options import RestoreOptions
from headsup_core.restoring.plan.measure import MemoryPeak, calibrate
from headsup_core.restoring.plan.upscale_plan import plan_upscale
from headsup_core.restoring.session import Session

from .trial import FAILED, LEFT_OUT, MEASURED, OK, SCALE, Outcome, Trial, levels, restored, seconds_of, short

MEAN_LEVELS = {"float32": 0.5, "float16": 1.0, "bfloat16": 2.0}
"""Largest mean difference from the CPU in fp32. A GPU's convolutions in fp32 are TF32 unless that is switched off."""
PLAN_ERROR = 0.15
ENOUGH = 1.05
"""A way to be faster pays from here on."""
CAP_SHARE = 0.6
"""Share of the memory that a run takes which is left to it when recovery is tried."""


def run_all(trial: Trial, *, compiling: bool) -> Iterator[Outcome]:
    """Every check, one after the other; one that breaks is an outcome, too."""
    checks: list[tuple[str, Callable[[], Iterator[Outcome]]]] = [
        ("correctness", lambda: correctness(trial)),
        ("throughput", lambda: throughput(trial)),
        ("memory", lambda: memory(trial)),
        ("recovery", lambda: recovery(trial)),
        ("faster", lambda: faster(trial, compiling=compiling)),
    ]
    for name, check in checks:
        try:
            yield from check()
        except (RuntimeError, MemoryError, hu.HeadsUpError) as error:
            yield Outcome(name, trial.name, "", verdict=FAILED, why=short(error))
            trial.host.release_memory()


def correctness(trial: Trial) -> Iterator[Outcome]:
    """The same picture by the CPU in fp32, and by the device in each precision."""
    side, plain = trial.sides[0], hu.PlainHost("cpu", quiet=True)
    expected = restored(trial.model("float32", plain), plain, side).image
    for precision in trial.precisions:
        setting = f"{side} px, {precision}"
        try:
            got = restored(trial.model(precision), trial.host, side).image
        except hu.HeadsUpError as error:  # NaN
            yield Outcome("correctness", trial.name, setting, verdict=FAILED, why=short(error))
            continue
        found, limit = levels(got, expected), MEAN_LEVELS[precision]
        verdict, why = MEASURED, ""
        if trial.judged:
            good = found["mean levels"] <= limit
            verdict, why = (OK, "") if good else (FAILED, f"at most {limit} levels on average are expected")
        yield Outcome("correctness", trial.name, setting, found, verdict, why)


def throughput(trial: Trial) -> Iterator[Outcome]:
    """Pictures a second by size and precision, from main memory to main memory."""
    for precision in trial.precisions:
        model = trial.model(precision)
        for side in trial.sides:
            seconds = seconds_of(model, trial.host, side, trial.runs)
            figures = {"seconds": seconds, "pictures/s": 1 / seconds, "megapixels/s": side**2 / 1e6 / seconds}
            yield Outcome("throughput", trial.name, f"{side} px, {precision}", figures)


def memory(trial: Trial) -> Iterator[Outcome]:
    """Peak above the weights against the plan, which measures the model first."""
    for precision in trial.precisions:
        model = trial.model(precision)
        known = calibrate(model.one_step, trial.host)
        for side in trial.sides:
            small = side // SCALE
            session = Session(model, RestoreOptions(scale=SCALE), trial.host)
            plan = plan_upscale((1, small, small), session, calibration=known)
            chosen = {"tile": plan.tile, "overlap": plan.overlap, "tile_batch": plan.tile_batch}
            trial.host.load(model.one_step.networks, 0)
            with MemoryPeak(trial.host.device) as peak:
                restored(model, trial.host, side, **chosen)
            planned = plan.device_bytes
            error = planned / max(1, peak.bytes) - 1
            figures = {"planned MB": planned / 1e6, "measured MB": peak.bytes / 1e6, "error %": 100 * error}
            verdict, why = MEASURED, ""
            if trial.on_gpu:  # a CPU's resident memory holds what earlier runs left
                good = abs(error) <= PLAN_ERROR
                verdict, why = (OK, "") if good else (FAILED, f"within {PLAN_ERROR:.0%} is the aim")
            yield Outcome("memory", trial.name, f"{side} px, {precision}", figures, verdict, why)


def recovery(trial: Trial) -> Iterator[Outcome]:
    """A run with one large tile that cannot have its memory has to go on with smaller ones, and to give their picture.

    Smaller tiles by themselves change it by several levels.
    """
    precision, side = trial.precisions[-1], trial.sides[min(1, len(trial.sides) - 1)]
    model = trial.model(precision)
    step, small = model.one_step.size_rule.multiple, side // SCALE
    tile = -(-(side + 2 * model.one_step.margin) // step) * step  # one for the whole picture
    restored(model, trial.host, side, tile=tile, tile_batch=1)  # the weights are on the device before memory is capped
    session = Session(model, RestoreOptions(scale=SCALE, tile=tile, tile_batch=1), trial.host)
    plan = plan_upscale((1, small, small), session)
    pixels = plan.tiles.tile_height * plan.tiles.tile_width
    capped = _capped(trial, CAP_SHARE * plan.device_bytes) if trial.on_gpu else _refusing(model, pixels)
    with capped as how:
        result = restored(model, trial.host, side, tile=tile, tile_batch=1)
    used = result.report.options
    after = used.tile or 0
    straight = restored(model, trial.host, side, tile=after, overlap=used.overlap or 0, tile_batch=1)
    figures = {"tile": tile, "tile after": after, **levels(result.image, straight.image)}
    same = not trial.judged or figures["mean levels"] <= MEAN_LEVELS[precision]
    sound = after < tile and same and bool(torch.isfinite(result.image).all())
    why = "" if sound else "it went on with tiles of the same size, or gave another picture than they do"
    yield Outcome("recovery", trial.name, f"{side} px, {precision}, {how}", figures, OK if sound else FAILED, why)


@contextmanager
def _capped(trial: Trial, room: float) -> Iterator[str]:
    """torch's allocator gives out `room` bytes more than it has given out by now."""
    device = trial.host.device
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = torch.cuda.memory_reserved(device) + room
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
    try:
        yield f"allocator capped at {allowed / 1e9:.1f} GB"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@contextmanager
def _refusing(model: HeadsUpModel, pixels: int) -> Iterator[str]:
    """A CPU's memory cannot be capped: the UNet says that it ran out for tiles of so many `pixels`."""
    most = pixels // model.one_step.codec.factor**2

    def refuse(_: object, given: tuple[Any, ...]) -> None:
        if given[0].shape[-1] * given[0].shape[-2] >= most:
            raise torch.OutOfMemoryError("imitated by gpu_check")

    handle = model.one_step.unet.register_forward_pre_hook(refuse)
    try:
        yield "imitated"
    finally:
        handle.remove()


def faster(trial: Trial, *, compiling: bool) -> Iterator[Outcome]:
    """channels_last and torch.compile against neither."""
    precision, side = trial.precisions[-1], trial.sides[min(1, len(trial.sides) - 1)]
    model = trial.model(precision)
    plain = seconds_of(model, trial.host, side, trial.runs)
    picture = restored(model, trial.host, side).image
    for way, change in (("channels_last", _channels_last), ("torch.compile", _compiled)):
        setting = f"{side} px, {precision}, {way}"
        if way == "torch.compile" and not compiling:
            why = "give --compile: it takes minutes on a CPU"
            yield Outcome("faster", trial.name, setting, verdict=LEFT_OUT, why=why)
            continue
        changed = trial.model(precision)
        try:
            change(changed)
            started = time.perf_counter()
            got = restored(changed, trial.host, side).image
            first = time.perf_counter() - started
            seconds = seconds_of(changed, trial.host, side, trial.runs)
        except (RuntimeError, ImportError, OSError) as error:  # no compiler, no Triton
            yield Outcome("faster", trial.name, setting, verdict=LEFT_OUT, why=short(error))
            continue
        figures = {"times as fast": plain / seconds, "first run s": first, **levels(got, picture)}
        pays = "it pays" if plain / seconds >= ENOUGH else "it does not pay"
        yield Outcome("faster", trial.name, setting, figures, MEASURED, pays)


def _channels_last(model: HeadsUpModel) -> None:
    networks: tuple[Any, ...] = model.one_step.networks
    for network in networks:
        network.to(memory_format=torch.channels_last)


def _compiled(model: HeadsUpModel) -> None:
    """The UNet, in place: it is called by its name, with hooks of adapters that torch traces as well."""
    model.one_step.unet.compile()
