"""Restorations that are cancelled at each moment at which they ask whether to go on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from headsup_core.cli import main as command_line
from headsup_core.host import PlainHost

from .bench import Bench
from .findings import Findings, Steps
from .toy_people import people_cases, plain_cases


class Stop(BaseException):
    """As ComfyUI's interrupt: no Exception."""


class CountingHost(PlainHost):
    """Counts how often it is asked whether to go on, and raises `Stop` at the time `at`, counted from 1."""

    def __init__(self, at: int = 0) -> None:
        super().__init__("cpu", quiet=True)
        self.asked, self._at = 0, at

    def check_cancelled(self) -> None:
        self.asked += 1
        if self.asked == self._at:
            raise Stop


def _global_state() -> tuple[object, ...]:
    torch_state, numpy_state = torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())
    modes = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype())
    return (random.getstate(), torch_state, numpy_state, *modes, torch.get_num_threads())


def cancelled_restorations(count: int | None, seed: int, findings: Findings) -> str:
    """Cancel at so many moments, None: at all of them: the model gives the same bits afterwards, and global state is
    what it was."""
    if count == 0:
        return "no cancelled restorations"
    cases = [*plain_cases(seed), *people_cases(seed)]
    right: list[torch.Tensor] = []
    moments: list[tuple[int, int]] = []
    for number, case in enumerate(cases):
        counting = CountingHost()
        right.append(case.restored(counting))
        moments += [(number, at) for at in range(1, counting.asked + 1)]
    total, state = len(moments), _global_state()
    if count is not None and count < total:
        moments = sorted(random.Random(seed).sample(moments, count))  # noqa: S311 - no secret
    steps = Steps("cancelled restorations", len(moments))
    for number, at in moments:
        case = cases[number]
        named = f"{case.name}, cancelled at {at}"
        try:
            case.restored(CountingHost(at))
            findings.add("wrong pictures", f"{named}: it went on")
        except Stop:
            pass
        except Exception as error:  # that is what is looked for
            findings.add("tracebacks", f"{named}: {type(error).__name__}: {error}")
        if _global_state() != state:
            findings.add("wrong pictures", f"{named}: global state has changed")
        if not torch.equal(case.restored(CountingHost()), right[number]):
            findings.add("wrong pictures", f"the restoration after {named}")
        steps.advance()
    return f"{len(moments)} cancelled restorations, of {total} moments in {len(cases)} kinds of restoration"


def cancelled_batches(folder: Path, count: int | None, seed: int, findings: Findings) -> str:
    """Interrupt a batch at so many moments, None: at all; what lies there then is whole, and it can be resumed."""
    bench, chance = Bench(folder / "cancelled", findings), random.Random(seed)  # noqa: S311 - no secret
    if count == 0 or not bench.prepare():
        return "no cancelled batches"
    plain, asked = PlainHost.check_cancelled, 0

    def interrupting(at: int) -> None:
        nonlocal asked
        asked = 0

        def check(self: PlainHost) -> None:
            nonlocal asked
            del self
            asked += 1
            if asked == at:
                raise KeyboardInterrupt

        PlainHost.check_cancelled = check  # what the command asks, too

    try:
        interrupting(0)
        command_line(bench.arguments("counted"))
        moments = sorted(chance.sample(range(1, asked + 1), asked if count is None else min(count, asked)))
        total = asked
        steps = Steps("cancelled batches", len(moments))
        for at in moments:
            interrupting(at)
            try:
                command_line(bench.arguments())
            except KeyboardInterrupt:
                pass
            except Exception as error:  # that is what is looked for
                findings.add("tracebacks", f"batch cancelled at {at}: {type(error).__name__}: {error}")
            if left := [path.name for path in (bench.folder / "out").glob(".*")]:
                findings.add("half-written files", f"batch cancelled at {at}: {left}")
            PlainHost.check_cancelled = plain
            bench.check(f"after a batch was cancelled at {at}")
            bench.complete(f"after a batch was cancelled at {at}")
            steps.advance()
    finally:
        PlainHost.check_cancelled = plain
    return f"{len(moments)} batches cancelled, of {total} moments, and resumed to the end"
