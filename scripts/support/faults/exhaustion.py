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
from headsup_core.image_files import read_picture, write_picture
from headsup_core.imaging.resizing import resize

from ..paths import ROOT
from .findings import Findings, Steps
from .toy import toy_file
from .toy_people import people_cases, plain_cases

LEAST = 32 << 10
"""Bytes of an allocation that may fail."""
ROUNDING = 2e-3
"""How far tiles of another size may change a value of a picture in 0..1: the codec sees farther than they overlap. What
differs by more must be, to the bit, what the tile in its report gives."""
MOST_WITH_PEOPLE = 100
SAMPLES = ROOT / "samples"
PHOTO, PORTRAIT = SAMPLES / "headsup_photo.jpg", SAMPLES / "headsup_portrait.jpg"


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


def exhausted_restorations(count: int | None, seed: int, findings: Findings) -> str:
    """Restore with failing allocations: right, or an error that says so. In words what was done.

    Each allocation of each case fails once by itself and once with all later ones that are as large, each time with one
    of the errors.

    Args:
        count: of failing allocations, chosen by chance; None: all.
    """
    if count == 0:
        return "no allocations failed"
    cases, chance = [*plain_cases(seed), *people_cases(seed)], random.Random(seed)  # noqa: S311 - no secret
    places: list[tuple[int, int, int, bool]] = []
    right: list[torch.Tensor] = []
    for number, case in enumerate(cases):
        with Exhausted() as counted:
            right.append(case.restored())
        sites = range(counted.seen)
        places += [(number, at, chance.randrange(3), lasting) for at in sites for lasting in (False, True)]
    total = len(places)
    if count is not None and count < total:
        places = chance.sample(places, count)
    ends: Counter[str] = Counter()
    steps = Steps("failing allocations", len(places))
    for number, (of, at, kind, lasting) in enumerate(places):
        case, error = cases[of], _errors()[kind]
        named = f"{case.name}, allocation {at}, error {kind}, {'lasting' if lasting else 'once'}"
        try:
            with Exhausted(at, error, lasting=lasting):
                now = case.result()
        except HeadsUpError:
            ends["errors of the pack"] += 1
        except Exception as raised:  # that is what is looked for
            if raised is not error:
                findings.add("tracebacks", f"{named}: {type(raised).__name__}: {raised}")
            ends["the error handed on"] += 1
        else:
            ends["right pictures"] += 1
            if not torch.allclose(now.image, right[of], atol=ROUNDING):
                told = {name: getattr(now.report.options, name) for name in ("tile", "overlap", "tile_batch")}
                again = case.result(**told).image  # an upright reference is as large as its tile
                if not torch.equal(now.image, again):
                    findings.add("wrong pictures", f"{named}: off by {(now.image - again).abs().max():.2g}, {told}")
        if number % 20 == 0 and not torch.equal(case.restored(), right[of]):
            findings.add("wrong pictures", f"after {named}")
        steps.advance()
    parts = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
    return f"{len(places)} failing allocations of {total} in {len(cases)} kinds of restoration ({parts})"


def exhausted_commands(folder: Path, count: int | None, seed: int, findings: Findings) -> list[str]:
    """As `exhausted_restorations`, of the whole command with reading the model, the picture and writing; then with a
    person, whose photo is encoded, too: of that at most `MOST_WITH_PEOPLE`, since each takes seconds.

    Args:
        count: of failing allocations of each; None: all.
    """
    if count == 0:
        return ["no allocations of the command failed"]
    here = folder / "exhausted"
    here.mkdir()
    model, source = toy_file(here), here / "a.png"
    write_picture(source, torch.rand(1, 3, 24, 28, generator=torch.Generator().manual_seed(seed)))
    common = ["--model", str(model), "--tile", "64", "--overlap", "32", "--quiet", "--device", "cpu"]
    plain = _exhausted_command(here, source, [*common, "--no-faces"], count, seed, findings)
    portrait = here / "b.png"
    picture = read_picture(PORTRAIT).rgb
    write_picture(portrait, resize(picture, picture.shape[-2] // 2, picture.shape[-1] // 2, "area"))
    person = [*common, "--reference", str(PHOTO), "--scale", "1"]
    few = MOST_WITH_PEOPLE if count is None else min(count, MOST_WITH_PEOPLE)
    known = _exhausted_command(here, portrait, person, few, seed, findings)
    return [f"{plain} in the whole command", f"{known} in the whole command with a person"]


def _exhausted_command(
    folder: Path, source: Path, options: Sequence[str], count: int | None, seed: int, findings: Findings
) -> str:
    chance, target = random.Random(seed), folder / "out" / f"{source.stem}.png"  # noqa: S311 - no secret
    arguments = ["upscale", str(source), "--output", str(target.parent), *options]
    with Exhausted() as counted:
        status = command_line(arguments)
    if status != 0:
        findings.add("lost pictures", f"an undisturbed command: status {status}")
        return "no failing allocations"
    right = read_picture(target).rgb
    ends: Counter[str] = Counter()
    places = list(range(counted.seen))
    if count is not None and count < len(places):
        places = sorted(chance.sample(places, count))
    steps = Steps(f"failing allocations of the command, {source.stem}", len(places))
    for at in places:
        target.unlink(missing_ok=True)
        said, error = io.StringIO(), _errors()[chance.randrange(3)]
        try:
            with contextlib.redirect_stderr(said), Exhausted(at, error, lasting=chance.random() < 0.5):
                status = command_line(arguments)
        except Exception as raised:  # that is what is looked for
            findings.add("tracebacks", f"command {source.stem}, allocation {at}: {type(raised).__name__}: {raised}")
            continue
        ends[f"status {status}"] += 1
        if status == 0 and not bool((read_picture(target).rgb - right).abs().max() <= 1.5 / 255):
            findings.add("wrong pictures", f"command {source.stem}, allocation {at}")
        if status == 2 and (target.exists() or said.getvalue().count("\n") > 3):
            findings.add("half-written files", f"command {source.stem}, allocation {at}: {said.getvalue()}")
        if left := [path.name for path in target.parent.glob(".*")]:
            findings.add("half-written files", f"command {source.stem}, allocation {at}: {left}")
        steps.advance()
    parts = ", ".join(f"{number} times {end}" for end, number in sorted(ends.items()))
    return f"{len(places)} failing allocations of {counted.seen} ({parts})"
