"""One command for the question whether headsup-tiny reaches its aims: every task, every peer, one table."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import HeadsUpError, InputError
from ...host import Host
from ...models.loading import find_model_file
from ..comparing.cases import CleanFolder
from ..comparing.contestants import Restorer, System
from ..comparing.evaluate import Judges, Outcome, Record, evaluate
from ..comparing.provenance import provenance
from ..comparing.remembered import Remembered
from ..comparing.system_names import SystemName, make_systems
from ..figures import IDENTITY, MEAN_IDENTITY
from ..measuring.system_costs import usage_of
from ..reporting.report_files import write_report
from .aims import (
    ANY,
    BICUBIC,
    CRISP,
    ESRGAN,
    FAITHFUL,
    HEADER,
    MODEL,
    TODAY,
    Aim,
    Measured,
    Task,
    aim_row,
    without_verdict,
)
from .tasks import NO_PORTRAITS

log = logging.getLogger(__name__)

COST_SIDE = 1024
"""Side in pixels of the result whose seconds and memory are aims."""
TIME_SHARE, PEAK_BYTES = 0.5, 2e9


@dataclass(frozen=True)
class Material:
    """Pictures, and what is asked of them. The cases' degradation is not used, but each task's.

    Attributes:
        people: False: pictures without faces, of which only the whole is judged.
    """

    title: str
    cases: CleanFolder
    tasks: Sequence[Task]
    people: bool = True


@dataclass(frozen=True, eq=False)
class Targets:
    """What is measured with what.

    Attributes:
        model: as `make_systems` takes it, without anybody's photo.
        today: the model that it shall replace.
        weights: files that the figures depend on.
        cache: folder in which the results of peers and of today's model are kept; None: they are made anew.
        slices: a CSV file of attributes of the people, or None.
        cost_side: of the result whose seconds and memory are measured; None: they are not.
    """

    materials: Sequence[Material]
    model: str
    today: str
    host: Host
    judges: Judges
    weights: Sequence[Path | None] = ()
    cache: Path | None = None
    slices: Path | None = None
    sheets: int = 4
    quiet: bool = False
    cost_side: int | None = COST_SIDE
    _loadable: dict[str, bool] = field(default_factory=dict[str, bool])

    def measure(self, output: Path) -> tuple[str, list[str]]:
        """Write a report of every task into `output`, and `targets.md`.

        Returns:
            The table, and the failures, each named.

        Raises:
            InputError: nothing could be measured.
        """
        rows: list[str] = []
        failures: list[str] = []
        notes: list[str] = []
        for material in self.materials:
            for task in material.tasks:
                begun = time.perf_counter()
                if not material.cases.pairs:
                    task = replace(task, aims=tuple(aim for aim in task.aims if not aim.system.startswith("+")))
                outcome, names = self._run(material, task, output)
                failures += outcome.failures
                rows += self._rows(f"{material.title}: {task.title}", task, outcome, names)
                pictures = len({record.case for record in outcome.records})
                people = len({record.person for record in outcome.records})
                seconds = time.perf_counter() - begun
                notes.append(
                    f"* {material.title}: {task.title}: {pictures} pictures of {people} people, {seconds:.0f} s, "
                    f"{seconds / people:.1f} s a person"
                )
                table = "\n".join([HEADER, *rows, "", *notes, ""])
                (output / "targets.md").write_text(table)  # now, too: a run takes hours
        table = "\n".join([HEADER, *rows, "", *self._costs(), "", *notes, ""])
        (output / "targets.md").write_text(table)
        return table, failures

    def _run(self, material: Material, task: Task, output: Path) -> tuple[Outcome, Mapping[str, str]]:
        """And what the systems and peers of the aims are called in the outcome."""
        cases = replace(material.cases, degradation=task.degradation)
        judges = self.judges if material.people else replace(self.judges, likeness=None, region=None)
        systems, names = self._systems(task, judges)
        log.info("%s, %s: %s", material.title, task.title, ", ".join(system.name for system in systems))
        outcome = evaluate(cases, systems, judges, self.sheets, quiet=self.quiet)
        if not outcome.records:
            raise InputError("nothing could be measured:\n" + "\n".join(outcome.failures))
        if self.cache is not None:
            outcome.notes.append("Seconds of peers are those of reading kept results, where there were any.")
        title = f"{material.title}, {task.title} (seed {cases.seed})"
        folder = output / f"{cases.place.name}-{cases.size}-{task.degradation}"
        slices = self.slices if material.people else None
        write_report(folder, title, outcome, BICUBIC, provenance(cases, systems, self.weights), slices)
        return outcome, names

    def _systems(self, task: Task, judges: Judges) -> tuple[list[System], Mapping[str, str]]:
        """All that the aims speak of."""
        asked = [aim.system for aim in task.aims] + [peer for aim in task.aims for peer in aim.peers]
        asked += [MODEL, *((FAITHFUL, CRISP) if ANY in asked else ())]
        peers = [peer for peer in (BICUBIC, ESRGAN) if judges.likeness is not None or peer in asked]
        suffixes = [each for each in dict.fromkeys(asked) if each == MODEL or each.startswith(("@", "+"))]
        suffixes = [each for each in suffixes if self._exists(each)]
        analyzer = judges.likeness.analyzer if judges.likeness else None
        made = make_systems([*peers, *(self.model + suffix for suffix in suffixes)], self.host, analyzer)
        systems = [self._kept(each) if each.name == ESRGAN else each for each in made]
        names = dict(zip((*peers, *suffixes), (each.name for each in made), strict=True))
        if TODAY in asked:
            same = find_model_file(SystemName.parse(self.today).source, self.host).resolve()
            ours = find_model_file(SystemName.parse(self.model).source, self.host).resolve()
            names[TODAY] = names[MODEL]
            if same != ours or self.today != self.model:
                [today] = make_systems([self.today], self.host, analyzer)
                assert isinstance(today, Restorer)  # noqa: S101 - narrows the type: peers have no file
                systems.append(self._kept(replace(today, name=TODAY)))
                names[TODAY] = TODAY
        return systems, names

    def _exists(self, suffix: str) -> bool:
        """Whether the model can be loaded so: one without a detail slider has no ends."""
        if not suffix.startswith("@"):
            return True
        if suffix not in self._loadable:
            try:
                SystemName.parse(self.model + suffix).load(self.host)
                self._loadable[suffix] = True
            except HeadsUpError as error:
                log.info("%s%s is not measured: %s", self.model, suffix, error)
                self._loadable[suffix] = False
        return self._loadable[suffix]

    def _kept(self, system: System) -> System:
        return system if self.cache is None else Remembered(system, self.cache)

    def _rows(self, title: str, task: Task, outcome: Outcome, names: Mapping[str, str]) -> list[str]:
        """A row an aim; identity is judged by the mean of the independent recognisers, then again by each."""
        recognisers = self.judges.likeness.recognisers if self.judges.likeness else ()
        scales = outcome.calibrations
        independent = [each.name for each in recognisers if not each.trained_against]
        calibrated = [name for name in independent if name in scales and scales[name].measured]
        measured = Measured(_with_mean(outcome.records, calibrated or independent), names)
        rows: list[str] = []
        for aim in task.aims:
            row = aim_row(title, aim, measured)
            doubtful = aim.figure == MEAN_IDENTITY and not calibrated
            rows.append(without_verdict(row, "(not calibrated)") if doubtful else row)
        for each in recognisers:
            for aim in task.aims:
                if aim.figure == MEAN_IDENTITY:
                    row = aim_row(title, aim, measured, IDENTITY + each.name)
                    rows.append(row if each.name in calibrated else without_verdict(row, _doubt(each.trained_against)))
        return rows

    def _costs(self) -> list[str]:
        """Seconds and memory beside Real-ESRGAN's, each in a process of its own."""
        side = self.cost_side
        if side is None:
            return []
        ours, theirs = (usage_of(name, self.host, side) for name in (self.model, ESRGAN))
        share = ours.seconds / theirs.seconds
        verdicts = ["yes" if good else "**no**" for good in (share <= TIME_SHARE, ours.peak <= PEAK_BYTES)]
        return [
            f"| {side // 4}x{side // 4} to {side}x{side} | model | {ESRGAN} | aim | reached |",
            "|---" * 5 + "|",
            f"| seconds | {ours.seconds:.2f} | {theirs.seconds:.2f} | at most {TIME_SHARE:.0%} of it | {verdicts[0]} |",
            f"| peak MB | {ours.peak / 1e6:.0f} | {theirs.peak / 1e6:.0f} | at most {PEAK_BYTES / 1e6:.0f} "
            f"| {verdicts[1]} |",
        ]


def faceless(folder: Path, tasks: Sequence[Task], limit: int | None) -> Material:
    """Pictures that are no portraits: by default they lose little against the plain enlargement."""
    asked: tuple[Aim, ...] = (NO_PORTRAITS,)
    plain = tuple(replace(task, aims=asked) for task in tasks)
    return Material(folder.name, CleanFolder(folder, "x8", 768, limit=limit), plain, people=False)


def _doubt(trained_against: bool) -> str:
    return "(no judge)" if trained_against else "(not calibrated)"


def _with_mean(records: Sequence[Record], judges: Sequence[str]) -> list[Record]:
    """With the mean of identity over `judges`, where all of them have a figure."""
    wanted = [IDENTITY + name for name in judges]
    return [
        replace(record, face={**record.face, MEAN_IDENTITY: sum(record.face[name] for name in wanted) / len(wanted)})
        if wanted and all(name in record.face for name in wanted)
        else record
        for record in records
    ]
