"""Aims: what a figure of a task should be, and whether a run says that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..comparing.evaluate import Record, paired, values
from ..figures import style
from ..reporting.intervals import Interval, interval, relative_interval
from ..reporting.tables import shown

MODEL, REFERENCE, STRANGER = "", "+reference", "+stranger"
"""Systems of an aim: the measured model as by default; with another photo of the person; with somebody else's."""
FAITHFUL, CRISP = "@detail=0", "@detail=1"
"""The ends of its detail slider."""
ANY = "any detail"
"""Whichever of the default and the ends has the best mean."""
TODAY = "today"
"""As a peer: the model that the measured one shall replace."""
BICUBIC, ESRGAN = "bicubic", "realesrgan-x4plus"

HEADER = "\n".join(
    [
        "| task | system | against | figure | aim | measured, pairwise [95 %] | mean: system, peer | reached |",
        "|---" * 8 + "|",
    ]
)


@dataclass(frozen=True)
class Aim:
    """One figure of one task.

    Attributes:
        system: one of the above, but `TODAY`.
        peers: the best of them counts; (): the bound is one of the figure itself, not of a difference.
        figure: "identity" is the mean over the recognisers that were not trained against.
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


@dataclass(frozen=True)
class Measured:
    """What a task's aims are judged by.

    Attributes:
        names: system or peer of an aim -> what it is called in the records; those that are missing were not measured.
    """

    records: Sequence[Record]
    names: Mapping[str, str]


def aim_row(task: str, aim: Aim, measured: Measured, figure: str = "") -> str:
    """Markdown: the aim beside what was measured; "yes" or "no" by the mean, the interval says how sure that is.

    Args:
        figure: in the place of the aim's.
    """
    figure = figure or aim.figure
    higher, digits = style(figure).better == "+", style(figure).digits
    settings = (MODEL, FAITHFUL, CRISP) if aim.system == ANY else (aim.system,)
    system = _best(settings, aim.region, figure, measured)
    peer = _best(aim.peers, aim.region, figure, measured)
    most = aim.ceiling or not higher
    bound = f"{'at most' if most else 'at least'} {_number(aim, digits)}"
    shown_peer = peer or " or ".join(measured.names.get(each, each) for each in aim.peers)
    words = [task, system or measured.names.get(MODEL, "") + aim.system, shown_peer, figure, bound]
    found = _found(aim, figure, system, peer, measured)
    if found is None:
        return f"| {' | '.join(words)} | not measured | | |"
    reached = found.mean <= aim.bound if most else found.mean >= aim.bound
    means = [_mean(aim.region, figure, each, measured) for each in (system, peer) if each]
    percent = Interval(*(100 * value for value in (found.mean, found.low, found.high)))
    sign = "+" if aim.peers else ""
    difference = f"{shown(percent, 1, '+')} %" if aim.relative else shown(found, digits, sign)
    both = ", ".join(f"{mean:.{digits}f}" for mean in means)
    return f"| {' | '.join([*words, difference, both, 'yes' if reached else '**no**'])} |"


def without_verdict(row: str, words: str) -> str:
    """The row with `words` where its verdict stood."""
    return f"{row.rsplit('|', 2)[0]}| {words} |"


def _found(aim: Aim, figure: str, system: str, peer: str, measured: Measured) -> Interval | None:
    """What the bound is compared with; None when the system or all its peers were not measured."""
    if not aim.peers:
        own, people = values(measured.records, aim.region, figure, system)
        return interval(list(own.values()), list(people.values())) if own else None
    ours, theirs, people = paired(measured.records, aim.region, figure, system, peer)
    if not ours:
        return None
    if aim.relative:
        return relative_interval(ours, theirs, people)
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], people)


def _mean(region: str, figure: str, system: str, measured: Measured) -> float:
    return float(np.mean(list(values(measured.records, region, figure, system)[0].values())))


def _best(wanted: Sequence[str], region: str, figure: str, measured: Measured) -> str:
    """What the one with the best mean is called in the records; "" when none was measured."""
    named = [measured.names.get(each, each) for each in wanted]
    present = [name for name in named if values(measured.records, region, figure, name)[0]]
    sign = 1 if style(figure).better == "+" else -1
    return max(present, key=lambda name: sign * _mean(region, figure, name, measured), default="")


def _number(aim: Aim, digits: int) -> str:
    if aim.relative:
        return f"{100 * aim.bound:+.0f} %"
    return f"{aim.bound:{'+' if aim.peers else ''}.{digits}f}"
