"""One command for the question whether headsup-tiny reaches its aims: every task, every peer, one table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..host import Host
from .aims import BICUBIC, ESRGAN, HEADER, NO_PORTRAITS, TASKS, Aim, Task, aim_row
from .comparing.cases import CleanFolder
from .comparing.contestants import System, make_systems
from .comparing.evaluate import Judges, Outcome, evaluate
from .comparing.provenance import provenance
from .measuring.performance import usage_of
from .reporting.report_files import write_report

log = logging.getLogger(__name__)

COST_SIDE = 1024
"""Of the result whose seconds and memory are aims, in pixels."""
TIME_SHARE, PEAK_BYTES = 0.5, 2e9


@dataclass(frozen=True, eq=False)
class Targets:
    """What is measured with what.

    Attributes:
        people: portraits; with `pairs` the model is measured with references, too. Its degradation is not used.
        others: folder of pictures that are no portraits, or None.
        model: as `make_systems` takes it.
        weights: files that the figures depend on.
        cost_side: of the result whose seconds and memory are measured; None: they are not.
        judge: name of the recogniser that identity is judged by.
    """

    people: CleanFolder
    others: Path | None
    model: str
    host: Host
    judges: Judges
    weights: Sequence[Path | None]
    judge: str
    sheets: int = 4
    quiet: bool = False
    cost_side: int | None = COST_SIDE
    tasks: Sequence[Task] = TASKS

    def measure(self, output: Path) -> tuple[str, list[str]]:
        """Write a report of every task into `output`, and `targets.md`.

        Returns:
            The table, and the failures, each named.

        Raises:
            InputError: nothing could be measured.
        """
        rows: list[str] = []
        failures: list[str] = []
        for task in self.tasks:
            outcome, label = self._run(replace(self.people, degradation=task.degradation), task, output, self.judges)
            failures += outcome.failures
            rows += [self._row(task, aim, label, outcome, self.judge) for aim in self._aims(task)]
            rows += self._other_opinions(task, label, outcome)
        if self.others is not None:
            for task in self.tasks:
                pictures = CleanFolder(self.others, task.degradation, 768, limit=self.people.limit)
                faceless = replace(self.judges, likeness=None, region=None)
                outcome, label = self._run(pictures, task, output, faceless, peers=(BICUBIC,))
                failures += outcome.failures
                title = f"{task.title}, {self.others.name}"
                rows.append(aim_row(title, NO_PORTRAITS, label, outcome.records, self.judge))
        table = "\n".join([HEADER, *rows, "", *self._costs(), ""])
        (output / "targets.md").write_text(table)
        return table, failures

    def _aims(self, task: Task) -> Sequence[Aim]:
        return task.aims if self.people.pairs else [aim for aim in task.aims if not aim.system]

    def _run(
        self, cases: CleanFolder, task: Task, output: Path, judges: Judges, peers: Sequence[str] = (BICUBIC, ESRGAN)
    ) -> tuple[Outcome, str]:
        """And what the model is called in the outcome."""
        told = sorted({aim.system for aim in task.aims if aim.system and cases.pairs})
        names = [*peers, self.model, *(self.model + system for system in told)]
        analyzer = judges.likeness.analyzer if judges.likeness else None
        systems: list[System] = make_systems(names, self.host, analyzer)
        log.info("%s of %s: %s", task.title, cases.folder.name, ", ".join(system.name for system in systems))
        outcome = evaluate(cases, systems, judges, self.sheets, quiet=self.quiet)
        if not outcome.records:
            raise InputError("nothing could be measured:\n" + "\n".join(outcome.failures))
        title = f"{cases.folder.name}, {task.title} (seed {cases.seed}), {cases.size} px"
        folder = output / f"{cases.folder.name}-{task.degradation}"
        write_report(folder, title, outcome, BICUBIC, provenance(cases, systems, self.weights))
        return outcome, systems[len(peers)].name

    def _row(self, task: Task, aim: Aim, label: str, outcome: Outcome, recogniser: str) -> str:
        """No verdict on identity when nobody knows what the recogniser's cosines are worth."""
        row = aim_row(task.title, aim, label, outcome.records, recogniser)
        scale = outcome.calibrations.get(recogniser)
        assumed = aim.figure == "identity" and scale is not None and not scale.measured
        return _without_verdict(row, "(not calibrated)") if assumed else row

    def _other_opinions(self, task: Task, label: str, outcome: Outcome) -> list[str]:
        """Rows of identity by the other recognisers; one that was trained against gives no verdict."""
        if self.judges.likeness is None:
            return []
        aims = [aim for aim in self._aims(task) if aim.figure == "identity"]
        rows: list[str] = []
        for other in self.judges.likeness.recognisers:
            for aim in aims if other.name != self.judge else ():
                row = self._row(task, aim, label, outcome, other.name)
                rows.append(_without_verdict(row, "(no judge)") if other.trained_against else row)
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


def _without_verdict(row: str, words: str) -> str:
    return f"{row.rsplit('|', 2)[0]}| {words} |"
