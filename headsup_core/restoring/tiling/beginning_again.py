"""A picture for which memory runs out is begun again with smaller tiles, so that it never is of two looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ...host import NothingToClose, Progress
from ..session import Run
from ..stages import Restored
from .tiled_run import BeginAgainError, Tiling


class _Attempt(NothingToClose):
    """Counts what was advanced, less what the total grew by."""

    def __init__(self, shown: Progress) -> None:
        self.steps = 0
        self._shown = shown

    def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
        self.steps += steps
        self._shown.advance(steps, preview)

    def grow(self, steps: int) -> None:
        self.steps -= steps
        self._shown.grow(steps)


def with_memory(
    restored: Callable[[Run, Tiling], Restored], run: Run, tiling: Tiling, steps: Callable[[Tiling], int]
) -> Restored:
    """`restored(run, tiling)`; after out of memory from its start with the next smaller tiles.

    So it is, to the bit, what those tiles give.

    Args:
        steps: how many a tiling takes, for the progress.

    Raises:
        InputError: out of memory even with the smallest tile.
    """
    noise = None if run.noise is None else run.noise.get_state()
    while True:
        attempt = _Attempt(run.progress)
        try:
            return restored(replace(run, progress=attempt), tiling)
        except BeginAgainError as stop:
            smaller = stop.tiling
        # outside of the except block, so that its traceback no longer holds the tensors
        run.host.release_memory()
        if run.noise is not None and noise is not None:
            run.noise.set_state(noise)
        run.progress.grow(max(0, attempt.steps + steps(smaller) - steps(tiling)))
        tiling = smaller
