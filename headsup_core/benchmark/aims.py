"""What headsup-tiny should reach, and whether a run says that it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .comparing.evaluate import Record, paired, values
from .metrics.figures import IDENTITY, style
from .reporting.intervals import Interval, interval, relative_interval
from .reporting.tables import shown

MODEL, REFERENCE, STRANGER = "", "+reference", "+stranger"
"""What a system's name in an aim begins with stands for the model that is measured."""
BICUBIC, ESRGAN = "bicubic", "realesrgan-x4plus"


@dataclass(frozen=True)
class Aim:
    """One figure of one task.

    Attributes:
        system: `MODEL`, `REFERENCE` or `STRANGER`.
        peers: the best of them counts.
        figure: "identity" is that of the first recogniser that was not trained against.
        bound: of the difference, pairwise; where higher is better the least, where lower is better the most.
        relative: a share of the peer's mean.
        ceiling: the bound is the most that a figure may gain (a stranger's photo must not help).
        region: of the picture.
    """

    system: str
    peers: tuple[str, ...]
    figure: str
    bound: float
    relative: bool = False
    ceiling: bool = False
    region: str = "face"


@dataclass(frozen=True)
class Task:
    """A degradation and what is asked of it."""

    title: str
    degradation: str
    aims: tuple[Aim, ...]


def _unaided(peers: tuple[str, ...], identity: float) -> tuple[Aim, ...]:
    return (
        Aim(MODEL, peers, "psnr_y", 0.8),
        Aim(MODEL, peers, "ssim_y", 0.0),
        Aim(MODEL, peers, "lpips", -0.15, relative=True),
        Aim(MODEL, peers, "identity", identity),
    )


def _aided(identity: float) -> tuple[Aim, ...]:
    return (
        Aim(REFERENCE, (MODEL,), "psnr_y", -0.1),
        Aim(REFERENCE, (MODEL,), "ssim_y", 0.0),
        Aim(REFERENCE, (MODEL,), "lpips", 0.0, relative=True),
        Aim(REFERENCE, (MODEL,), "identity", identity),
        Aim(STRANGER, (MODEL,), "identity", identity, ceiling=True),
    )


TASKS = (
    Task("x4, second-order", "realesrgan", (*_unaided((ESRGAN,), 0.05), *_aided(0.04))),
    Task("x8", "x8", (*_unaided((BICUBIC, ESRGAN), 0.04), *_aided(0.06))),
    Task(
        "x4 mild",
        "x4-mild",
        (
            Aim(MODEL, (BICUBIC,), "psnr_y", 0.0),
            Aim(MODEL, (BICUBIC,), "ssim_y", 0.0),
            Aim(MODEL, (ESRGAN,), "lpips", 0.0, relative=True),
            Aim(MODEL, (BICUBIC,), "identity", -0.005),
        ),
    ),
)
NO_PORTRAITS = Aim(MODEL, (BICUBIC,), "psnr_y", -0.3, region="whole")
"""Of pictures without faces, for each degradation."""

HEADER = "\n".join(
    [
        "| task | system | against | figure | aim | measured, pairwise [95 %] | mean: system, peer | reached |",
        "|---" * 8 + "|",
    ]
)


def aim_row(task: str, aim: Aim, model: str, records: Sequence[Record], judge: str) -> str:
    """Markdown: the aim beside what was measured; "yes" or "no" by the mean, the interval says how sure that is.

    Args:
        model: the measured system's name.
        judge: the recogniser that identity is judged by.
    """
    figure = IDENTITY + judge if aim.figure == "identity" else aim.figure
    system = model + aim.system
    peer = _best([peer or model for peer in aim.peers], aim.region, figure, records)
    higher = style(figure).better == "+"
    sense = "at most" if aim.ceiling or not higher else "at least"
    bound = f"{sense} {_number(aim.bound, aim.relative, style(figure).digits)}"
    words = [task, system, peer or " or ".join(aim.peers), figure, bound]
    ours, theirs, people = paired(records, aim.region, figure, system, peer)
    if not ours:
        return f"| {' | '.join(words)} | not measured | | |"
    found = difference_of(ours, theirs, people, relative=aim.relative)
    reached = found.mean <= aim.bound if aim.ceiling or not higher else found.mean >= aim.bound
    digits = style(figure).digits
    percent = Interval(*(100 * value for value in (found.mean, found.low, found.high)))
    measured = f"{shown(percent, 1, '+')} %" if aim.relative else shown(found, digits, "+")
    means = ", ".join(f"{np.mean(each):.{digits}f}" for each in (ours, theirs))
    return f"| {' | '.join([*words, measured, means, 'yes' if reached else '**no**'])} |"


def difference_of(ours: Sequence[float], theirs: Sequence[float], people: Sequence[str], *, relative: bool) -> Interval:
    """Mean of ours - theirs, or of that as a share of theirs."""
    if relative:
        return relative_interval(ours, theirs, people)
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], people)


def _best(peers: Sequence[str], region: str, figure: str, records: Sequence[Record]) -> str:
    """The peer with the best mean; "" when nobody was measured."""
    means = {peer: list(values(records, region, figure, peer)[0].values()) for peer in peers}
    sign = 1 if style(figure).better == "+" else -1
    measured = [peer for peer in peers if means[peer]]
    return max(measured, key=lambda peer: sign * float(np.mean(means[peer])), default="")


def _number(value: float, relative: bool, digits: int) -> str:
    return f"{100 * value:+.0f} %" if relative else f"{value:+.{digits}f}"
