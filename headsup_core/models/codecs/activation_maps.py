"""Activations of a whole picture, and layers that run over them part by part when they are read.

A layer that sees a few pixels around its own needs only a part with a margin; what the margin made is cut off. So a
chain of layers can be asked for any part of its result: reading costs time and no memory, storing costs memory, and
gives back that of its input band by band.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import torch

Local = Callable[..., torch.Tensor]
SAME = Fraction(1)
CHANNELS_AT_ONCE = 32
"""Channels whose statistics are taken together."""


@dataclass(frozen=True)
class Window:
    """Rows `y0:y1` and columns `x0:x1`."""

    y0: int
    y1: int
    x0: int
    x1: int

    def seen(self, reach: int, factor: Fraction, height: int, width: int) -> Window:
        """What a layer must see of its input of `height` x `width` to make this window of its output.

        It starts at even places, so that a strided convolution keeps its phase.
        """

        def span(start: int, end: int, size: int) -> tuple[int, int]:
            return max(0, int(start / factor) - reach) // 2 * 2, min(size, math.ceil(end / factor) + reach)

        return Window(*span(self.y0, self.y1, height), *span(self.x0, self.x1, width))

    def cut(self, values: torch.Tensor, top: int, left: int) -> torch.Tensor:
        """This window of `values` `[...,h,w]`, whose first place is `top`, `left`."""
        return values[..., self.y0 - top : self.y1 - top, self.x0 - left : self.x1 - left]


class Map(Protocol):
    """Activations `[1,channels,height,width]`."""

    channels: int
    height: int
    width: int

    def read(self, window: Window) -> torch.Tensor:
        """The part `[1,C,h,w]`, on the computing device; not to be changed."""
        ...

    def sources(self, row: int = 0) -> dict[Stored, int]:
        """The stored maps that it is read from, with the first row of each that rows from `row` on need."""
        ...


class Moments:
    """Mean and variance per channel of values that come in parts (Chan, Golub and LeVeque 1979), in fp64."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._mean, self._squares = torch.zeros(2, channels, dtype=torch.float64)

    def add(self, part: torch.Tensor) -> None:
        """Take in `part` `[1,C,h,w]`."""
        pieces = part[0].split(CHANNELS_AT_ONCE)  # in half precision a copy in fp32 of all would be the largest map
        found = [torch.var_mean(piece.flatten(1).float(), dim=1, correction=0) for piece in pieces]
        variance, mean = (torch.cat(column).cpu().double() for column in zip(*found, strict=True))
        count = part.shape[-2] * part.shape[-1]
        step, total = mean - self._mean, self._count + count
        self._mean = self._mean + step * (count / total)
        self._squares = self._squares + variance * count + step.square() * (self._count * count / total)
        self._count = total

    def of_groups(self, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Variance and mean that GroupNorm takes, per channel `[C]`: those of the channel's group."""
        means, variances = self._mean.reshape(groups, -1), self._squares.reshape(groups, -1) / self._count
        mean = means.mean(dim=1, keepdim=True)
        variance = (variances + (means - mean).square()).mean(dim=1, keepdim=True)
        return variance.expand_as(means).flatten(), mean.expand_as(means).flatten()


class Stored:
    """A map in main memory, in bands of rows that are freed one by one.

    Args:
        bands: `[1,C,h,W]`, from the top.
        device: where parts are computed.
        moments: of all of it, when they are known.
    """

    def __init__(self, bands: list[torch.Tensor], device: torch.device, moments: Moments | None = None) -> None:
        self.channels, self.width = bands[0].shape[1], bands[0].shape[-1]
        self.height = sum(band.shape[-2] for band in bands)
        self.moments = moments
        self._device, self._first, self._bands = device, 0, list(bands)

    @property
    def held(self) -> int:
        """Bytes of main memory."""
        return sum(band.nbytes for band in self._bands)

    def read(self, window: Window) -> torch.Tensor:
        found: list[torch.Tensor] = []
        top = self._first
        for band in self._bands:
            y0, y1 = max(window.y0, top), min(window.y1, top + band.shape[-2])
            if y0 < y1:
                found.append(Window(y0, y1, window.x0, window.x1).cut(band, top, 0))
            top += band.shape[-2]
        part = found[0] if len(found) == 1 else torch.cat(found, dim=-2)
        return part.to(self._device)

    def sources(self, row: int = 0) -> dict[Stored, int]:
        return {self: row}

    def release(self, row: int) -> None:
        """Free what lies above `row`."""
        while self._bands and self._first + self._bands[0].shape[-2] <= row:
            self._first += self._bands.pop(0).shape[-2]

    def taken_out(self) -> torch.Tensor:
        """All of it, `[1,C,H,W]`, in main memory; the map is empty afterwards."""
        if len(self._bands) == 1:
            return self._bands.pop()
        result = self._bands[0].new_empty(1, self.channels, self.height, self.width)
        while self._bands:
            end = self._first + self._bands[0].shape[-2]
            result[..., self._first : end, :] = self._bands[0]
            self.release(end)
        return result


class Lazy:
    """What `layer` makes of maps of one size, computed anew whenever it is read.

    Args:
        layer: parts of `inputs` on the device -> part of the result.
        reach: pixels of the inputs that a pixel of the result sees beyond its own place.
        factor: size of the result / size of the inputs.
    """

    def __init__(
        self, layer: Local, inputs: tuple[Map, ...], channels: int, reach: int = 1, factor: Fraction = SAME
    ) -> None:
        self.channels, self.layer, self.inputs, self.reach, self.factor = channels, layer, inputs, reach, factor
        self.height, self.width = int(inputs[0].height * factor), int(inputs[0].width * factor)

    def read(self, window: Window) -> torch.Tensor:
        source = self.inputs[0]
        seen = window.seen(self.reach, self.factor, source.height, source.width)
        values = self.layer(*(one.read(seen) for one in self.inputs))
        return window.cut(values, int(seen.y0 * self.factor), int(seen.x0 * self.factor))

    def sources(self, row: int = 0) -> dict[Stored, int]:
        found: dict[Stored, int] = {}
        for one in self.inputs:
            first = Window(row, row, 0, 0).seen(self.reach, self.factor, one.height, one.width).y0
            for source, start in one.sources(first).items():
                found[source] = min(start, found.get(source, start))
        return found


def windows(height: int, width: int, side: int) -> Iterator[list[Window]]:
    """The parts of a map, at most `side` (even) a side: those of a band of rows at a time."""
    for y0 in range(0, height, side):
        y1 = min(height, y0 + side)
        yield [Window(y0, y1, x0, min(width, x0 + side)) for x0 in range(0, width, side)]
