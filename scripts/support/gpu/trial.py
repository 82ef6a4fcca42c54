"""What is tried on a device: models by name and precision, a picture that is the same everywhere, and what came out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

import headsup_core as hu
from headsup_core.restoring.headsup_model import HeadsUpModel

SCALE = 4
OK, FAILED, MEASURED, LEFT_OUT = "ok", "FAILED", "measured", "left out"


@dataclass(frozen=True)
class Outcome:
    """One line of the result.

    Attributes:
        check, model, setting: what was tried, with what, how.
        figures: with their units in their names.
        verdict: `OK`, `FAILED`, `MEASURED` (nothing was asked of it) or `LEFT_OUT`.
        why: of what failed or was left out.
    """

    check: str
    model: str
    setting: str
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    verdict: str = MEASURED
    why: str = ""


@dataclass(frozen=True)
class Trial:
    """One model on one device.

    Attributes:
        load: precision and host -> the model.
        judged: whether its pictures mean something; those of random weights do not.
        sides: of the results in pixels.
        precisions: names of them.
        runs: how often what is timed is run, after one run that is not.
    """

    name: str
    load: Callable[[str, hu.PlainHost], HeadsUpModel]
    host: hu.PlainHost
    judged: bool
    sides: tuple[int, ...]
    precisions: tuple[str, ...]
    runs: int

    @property
    def on_gpu(self) -> bool:
        return self.host.device.type == "cuda"

    def model(self, precision: str, host: hu.PlainHost | None = None) -> HeadsUpModel:
        return self.load(precision, host or self.host)


def picture(side: int) -> torch.Tensor:
    """Waves of rising frequency, a disc and an edge, `[1,3,side,side]` in 0..1: the same on every machine."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    waves = [0.5 + 0.3 * torch.sin(2 * math.pi * (2 + 6 * x * (1 + shift)) * (y + shift)) for shift in (0.0, 0.3, 0.6)]
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.06).float() * 0.2
    return (torch.stack(waves) + disc + (x > 0.75).float() * 0.1).clamp(0, 1)[None]


def restored(model: HeadsUpModel, host: hu.PlainHost, side: int, **options: int) -> hu.RestoreResult:
    """A picture of `side` px, from a quarter of that."""
    return hu.restore(picture(max(1, side // SCALE)), model, scale=SCALE, host=host, **options)


def seconds_of(model: HeadsUpModel, host: hu.PlainHost, side: int, runs: int) -> float:
    """Median of `runs` runs after one that builds kernels. Results lie in main memory: nothing is left to wait for."""
    times: list[float] = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        restored(model, host, side)
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[runs // 2]


def levels(a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
    """Mean and largest difference in levels of 8 bits."""
    difference = (a - b).abs() * 255
    return {"mean levels": float(difference.mean()), "largest levels": float(difference.max())}


def short(error: BaseException) -> str:
    """The first line of an error."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:200]
