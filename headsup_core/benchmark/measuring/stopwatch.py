"""Which part of a long computation takes the time and the memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .fresh_processes import held_bytes

EVERY = 0.02
"""Seconds between two looks at the memory of the process."""


@dataclass
class Part:
    """What one part took: seconds without the parts inside it, the peak bytes while it ran, and how often it ran."""

    seconds: float = 0.0
    peak: int = 0
    runs: int = 0


@dataclass(eq=False)
class Stopwatch:
    """Parts by name, one at a time; a part inside another one stops the outer one's clock.

    Attributes:
        device: whose memory is watched: the process's on a CPU, torch's on a CUDA device.
    """

    device: torch.device
    parts: dict[str, Part] = field(default_factory=dict[str, Part])
    _stack: list[str] = field(default_factory=list[str])
    _since: float = 0.0

    @contextmanager
    def running(self) -> Generator[None]:
        """Within the block parts are measured."""
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self.turn_to("")
            stop.set()
            watcher.join()

    def turn_to(self, name: str) -> None:
        """End every part that runs, and begin another one; "" begins none."""
        self._settle()
        self._stack.clear()
        if name:
            self._push(name)

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        """The block is a part inside the one that runs."""
        self._settle()
        self._push(name)
        try:
            yield
        finally:
            self._settle()
            if self._stack and self._stack[-1] == name:
                self._stack.pop()

    def watch(self, network: nn.Module, name: str) -> None:
        """Each call of `network` is a part inside the one that runs: `PART: name`."""

        def begin(_network: nn.Module, _inputs: Any) -> None:  # noqa: ANN401 - a hook's
            self._settle()
            self._push(f"{self._stack[-1].partition(':')[0]}: {name}" if self._stack else name)

        def end(_network: nn.Module, _inputs: Any, _output: Any) -> None:  # noqa: ANN401 - a hook's
            self._settle()
            if self._stack:
                self._stack.pop()

        network.register_forward_pre_hook(begin)
        network.register_forward_hook(end, always_call=True)

    def _push(self, name: str) -> None:
        self._stack.append(name)
        self.parts.setdefault(name, Part()).runs += 1

    def _settle(self) -> None:
        """Give the time since the last change to the part that ran."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._stack:
            part = self.parts[self._stack[-1]]
            part.seconds += now - self._since
            part.peak = max(part.peak, self._memory())
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._since = now

    def _memory(self) -> int:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else held_bytes()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY):
            stack = self._stack[-1:]
            if stack and self.device.type != "cuda":
                part = self.parts[stack[0]]
                part.peak = max(part.peak, held_bytes())
