"""Memory that runs out at each large allocation of a restoration in turn."""

from __future__ import annotations

import contextlib
import io
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from headsup_core.cli import main as command_line
from headsup_core.errors import HeadsUpError
from headsup_core.host import PlainHost
from headsup_core.image_files import read_picture, write_picture
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.pipeline import restore

from .findings import Findings, Steps
from .toy import toy_file, toy_model

LEAST = 32 << 10
"""Bytes of an allocation that may fail."""
ROUNDING = 2e-3
"""How far tiles of another size may change a value of a picture in 0..1: the codec sees farther than they overlap."""
CASES: tuple[dict[str, Any], ...] = (
    {},
    {"color_fix": "wavelet", "strength": 0.7},
    {"color_fix": "lab", "sample_posterior": True, "tile_batch": 2},
)


def _errors() -> tuple[BaseException, ...]:
    """As torch says it of a GPU and of main memory, and as Python does."""
    return (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    )


class Exhausted(TorchDispatchMode):
    """The allocation number `at` fails (none at -1), and with `lasting` each later one that is as large."""

    def __init__(self, at: int = -1, error: BaseException | None = None, *, lasting: bool = False) -> None:
        super().__init__()
        self.seen = 0
        self._at, self._error, self._lasting = at, error, lasting
        self._limit: int | None = None

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - of any operation
        del types
        known = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" and _place(leaf) not in known:
                self._allocated(leaf.untyped_storage().nbytes())
        return result

    def _allocated(self, size: int) -> None:
        if size < LEAST:
            return
        if self.seen == self._at and self._lasting:
            self._limit = size
        fails = self.seen == self._at or (self._limit is not None and size >= self._limit)
        self.seen += 1
        if fails and self._error is not None:
            raise self._error


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def exhausted_restorations(count: int, seed: int, findings: Findings) -> str:
    """Restore with failing allocations: right, or an error that says so. In words what was done.

    Args:
        count: of failing allocations; all when there are fewer.
    """
    if not count:
        return "no allocations failed"
    model, chance = HeadsUpModel(toy_model()), random.Random(seed)  # noqa: S311 - no secret
    image = torch.rand(1, 3, 24, 28, generator=torch.Generator().manual_seed(seed))
    places: list[tuple[int, int, int, bool]] = []
    right: list[torch.Tensor] = []
    for case in range(len(CASES)):
        with Exhausted() as counted:
            right.append(_restored(model, image, case))
        sites = range(counted.seen)
        places += [(case, at, kind, lasting) for at in sites for kind in range(3) for lasting in (False, True)]
    total = len(places)
    if count < total:
        places = chance.sample(places, count)
    ends: Counter[str] = Counter()
    steps = Steps("failing allocations", len(places))
    for number, (case, at, kind, lasting) in enumerate(places):
        named = f"{CASES[case]}, allocation {at}, error {kind}, {'lasting' if lasting else 'once'}"
        error = _errors()[kind]
        try:
            with Exhausted(at, error, lasting=lasting):
                image_now = _restored(model, image, case)
        except HeadsUpError:
            ends["errors of the pack"] += 1
        except (RuntimeError, MemoryError) as raised:
            if raised is not error:
                findings.add("tracebacks", f"{named}: {type(raised).__name__}: {raised}")
            ends["the error handed on"] += 1
        else:
            ends["right pictures"] += 1
            if not torch.allclose(image_now, right[case], atol=ROUNDING):
                findings.add("wrong pictures", f"{named}: off by {(image_now - right[case]).abs().max():.2g}")
        if number % 20 == 0 and not torch.equal(_restored(model, image, case), right[case]):
            findings.add("wrong pictures", f"after {named}")
        steps.advance()
    parts = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
    return f"{len(places)} failing allocations of {total} ({parts})"


def _restored(model: HeadsUpModel, image: torch.Tensor, case: int) -> torch.Tensor:
    options: dict[str, Any] = {"scale": 4, "tile": 64, "overlap": 32, **CASES[case]}
    return restore(image, model, host=PlainHost("cpu", quiet=True), **options).image


def exhausted_commands(folder: Path, count: int, seed: int, findings: Findings) -> str:
    """As `exhausted_restorations`, of the whole command with reading the model, the picture and writing."""
    if not count:
        return "no allocations of the command failed"
    chance = random.Random(seed)  # noqa: S311 - no secret
    here = folder / "exhausted"
    here.mkdir()
    model, source, target = toy_file(here), here / "a.png", here / "out" / "a.png"
    write_picture(source, torch.rand(1, 3, 24, 28, generator=torch.Generator().manual_seed(seed)))
    arguments = ["upscale", str(source), "--output", str(target.parent), "--model", str(model)]
    arguments += ["--tile", "64", "--overlap", "32", "--no-faces", "--quiet", "--device", "cpu"]
    with Exhausted() as counted:
        command_line(arguments)
    right = read_picture(target).rgb
    ends: Counter[str] = Counter()
    places = list(range(counted.seen))
    if count < len(places):
        places = sorted(chance.sample(places, count))
    steps = Steps("failing allocations of the command", len(places))
    for at in places:
        target.unlink(missing_ok=True)
        said, error = io.StringIO(), _errors()[chance.randrange(3)]
        try:
            with contextlib.redirect_stderr(said), Exhausted(at, error, lasting=chance.random() < 0.5):
                status = command_line(arguments)
        except Exception as raised:  # that is what is looked for
            findings.add("tracebacks", f"command, allocation {at}: {type(raised).__name__}: {raised}")
            continue
        ends[f"status {status}"] += 1
        if status == 0 and not bool((read_picture(target).rgb - right).abs().max() <= 1.5 / 255):
            findings.add("wrong pictures", f"command, allocation {at}")
        if status == 2 and (target.exists() or said.getvalue().count("\n") > 3):
            findings.add("half-written files", f"command, allocation {at}: {said.getvalue()}")
        if left := [path.name for path in target.parent.glob(".*")]:
            findings.add("half-written files", f"command, allocation {at}: {left}")
        steps.advance()
    parts = ", ".join(f"{number} times {end}" for end, number in sorted(ends.items()))
    return f"{len(places)} failing allocations of {counted.seen} in the whole command ({parts})"
