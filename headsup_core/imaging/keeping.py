"""Where the tiles of one row or column may go, so that intervals (faces) lie whole in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Interval = tuple[int, int]


def starts_keeping(length: int, size: int, count: int, overlap: int, intervals: Sequence[Interval]) -> list[int]:
    """Starts of `count` spans of `size` that cover 0..`length` and overlap by at least `overlap`.

    As many of `intervals` (start, end) as possible lie whole inside a span; among those placements, the one closest to
    even spacing. Exact, by dynamic programming over the starts: O(count * length * size).

    The spans can cover: count * size - (count - 1) * overlap >= length, and count spans are needed.
    """
    last = length - size
    if count == 1 or last <= 0:
        return [0]
    farthest = min(size - overlap, last)
    gain = _gains(last, size, farthest, intervals)
    # one more interval kept is worth more than any distance from even spacing
    worth = count * last + 1
    places = np.arange(last + 1)
    first = sum(1 for start, end in intervals if start >= 0 and end <= size)
    best = np.full(last + 1, -(2**62), dtype=np.int64)
    best[0] = worth * first
    before: list[Any] = []
    for index in range(1, count):
        even = index * last // (count - 1)
        padded = np.concatenate([np.full(farthest, -(2**62), dtype=np.int64), best])
        # options[p, d - 1]: the span before starts d earlier
        options = np.lib.stride_tricks.sliding_window_view(padded[:-1], farthest)[:, ::-1] + worth * gain
        choice = options.argmax(axis=1)
        before.append(choice + 1)
        best = np.maximum(options[places, choice] - np.abs(places - even), -(2**62))
    starts = [last]
    for steps in reversed(before):
        starts.append(starts[-1] - int(steps[starts[-1]]))
    return starts[::-1]


def _gains(last: int, size: int, farthest: int, intervals: Sequence[Interval]) -> Any:  # noqa: ANN401 - numpy
    """`[last + 1, farthest]`: intervals that the span at p keeps and the one d + 1 before it does not."""
    gain = np.zeros((last + 1, farthest), dtype=np.int64)
    for start, end in intervals:
        low, high = max(0, end - size), min(last, start)  # starts of the spans that hold it
        for place in range(low, high + 1):
            gain[place, place - low :] += 1
    return gain


def free_starts(length: int, size: int, interval: Interval) -> Interval:
    """Lowest and highest start of a span of `size` within 0..`length` that holds `interval`; none when low > high."""
    return max(0, interval[1] - size), min(max(0, length - size), interval[0])
