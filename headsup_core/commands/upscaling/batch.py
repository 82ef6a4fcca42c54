"""Many pictures one after the other: what is done stays done, what fails is named at the end, all can be resumed."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ...errors import HeadsUpError, InputError
from ...host import PlainHost
from ...identity.names import readable
from ...image_files import pictures_in
from ...restoring.restore_report import RestoreReport
from ...whole_files import remove_leftovers
from .records import Settings, is_own_result, why_again
from .result_names import choose_name, name_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One picture file and the file of its result."""

    source: Path
    target: Path


class Write(Protocol):
    """Writes a restored picture into a file."""

    def __call__(self, target: Path, /, *, replace: bool) -> None:
        """Raise `FileExistsError` when there is such a file and it is not to be replaced."""
        ...


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored picture: what is said of it, and how it is written."""

    report: RestoreReport
    write: Write


Restore = Callable[[Job, dict[str, str]], Restored]
"""Reads the source and restores it; the given texts are to be written into the result."""


class Watcher(Protocol):
    """Is told what became of each picture, in the order in which that is known."""

    def done(self, job: Job, report: RestoreReport) -> None:
        """Restored and written."""
        ...

    def kept(self, job: Job) -> None:
        """The result was there already."""
        ...

    def failed(self, job: Job, error: str) -> None:
        """Not restored; `error` is one line that names the picture."""
        ...


class JsonLines:
    """A line of JSON for each picture on stdout: input, output, status (done, kept or failed), report or error."""

    def done(self, job: Job, report: RestoreReport) -> None:
        self._write(job, "done", **report.to_json())

    def kept(self, job: Job) -> None:
        self._write(job, "kept")

    def failed(self, job: Job, error: str) -> None:
        self._write(job, "failed", error=error)

    def _write(self, job: Job, status: str, **more: object) -> None:
        record = {"input": str(job.source), "output": str(job.target), "status": status, **more}
        with tqdm.external_write_mode(file=sys.stdout):  # a running bar makes room
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()


class LogLines:
    """A few lines for each restored picture in the log; what failed is said once, at the end."""

    def done(self, job: Job, report: RestoreReport) -> None:
        log.info("%s\n%s", readable(str(job.target)), report.text())

    def kept(self, job: Job) -> None:
        pass

    def failed(self, job: Job, error: str) -> None:
        pass


@dataclass
class Outcome:
    """What became of the pictures so far."""

    done: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        parts = [f"{self.done} restored"]
        parts += [f"{self.kept} were done already"] if self.kept else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)


def plan_jobs(pictures: Sequence[Path], folder: Path, *, recursive: bool = False, ending: str = ".png") -> list[Job]:
    """What to restore into which file of `folder`; those in folders keep their place below the given folder.

    Of inputs whose results would have one name (also when only the case differs, which some disks do not tell apart)
    the first gets it, the next keeps its suffix (a.jpg.png), further ones are numbered. So it is with files that are
    there already and are no earlier results of the same picture: they stay. A file that is given twice is done once.

    Args:
        ending: of the results' names.

    Raises:
        InputError: a folder without pictures, or a result that would replace an input.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for given in pictures:
        if not os.path.isdir(given):
            found.setdefault(_file(given), (given, Path(given.name)))
            continue
        if os.path.realpath(given) == os.path.realpath(folder):
            raise InputError(f"output folder {folder} is the folder of the pictures: choose another --output")
        for source in pictures_in(given, recursive=recursive, without=folder):
            found.setdefault(_file(source), (source, source.relative_to(given)))
    inputs = {os.path.realpath(source) for source, _ in found.values()}
    taken: set[str] = set()
    jobs: list[Job] = []
    for source, place in found.values():
        plain = folder / place.parent / f"{place.stem}{ending}"
        if os.path.realpath(plain) in inputs and name_key(plain) not in taken:
            raise InputError(f"the result of {source} would replace {plain}, a picture given: choose another --output")
        target = _target(plain.parent, source, ending, taken)
        if target != plain and name_key(plain) not in taken:
            why = "is there and is no result" if os.path.lexists(plain) else "is too long for the name of a result"
            log.info("%s %s of %s: that becomes %s", plain, why, source, target.name)
        taken.add(name_key(target))
        jobs.append(Job(source, target))
    return jobs


def _file(path: Path) -> Path:
    """The same for a file that is given in several ways; a link to it in another name is another one."""
    return Path(os.path.realpath(path.parent), path.name)


def _target(folder: Path, source: Path, ending: str, taken: set[str]) -> Path:
    return choose_name(
        folder, source, ending, lambda path: name_key(path) in taken, lambda path: is_own_result(path, source)
    )


def run_batch(
    jobs: Sequence[Job],
    restore: Restore,
    settings: Settings,
    host: PlainHost,
    *,
    resume: bool = False,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Restore each picture; one that fails does not stop the others.

    Args:
        settings: all that the results depend on but the pictures; written into each result.
        resume: keep the results that the same settings made from the same pictures.
        watchers: are told of each picture.

    Raises:
        InputError: at the end, naming the pictures that failed.
    """
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        for leftover in remove_leftovers(folder):
            log.info("%s, left by an interrupted run, was removed", leftover)
    batch = _Batch(restore, settings, host, watchers, {name_key(job.target) for job in jobs})
    with logging_redirect_tqdm():  # lines above the bars, not through them
        try:
            todo = [job for job in jobs if not resume or batch.is_open(job)]
            with host.progress(len(todo), "pictures") as progress:
                for job in todo:
                    batch.restore_one(job)
                    progress.advance()
        except KeyboardInterrupt:
            log.info("interrupted: %s of %d pictures; the same command with --resume goes on", batch.outcome, len(jobs))
            raise
    outcome = batch.outcome
    if len(jobs) > 1:
        log.info("%s", outcome)
    if outcome.failed:
        raise InputError(f"{len(outcome.failed)} of {len(jobs)} pictures failed:\n" + "\n".join(outcome.failed))


class _Batch:
    """A running batch: restores, counts, and tells the watchers."""

    def __init__(
        self,
        restore: Restore,
        settings: Settings,
        host: PlainHost,
        watchers: Sequence[Watcher],
        taken: set[str],
    ) -> None:
        self.outcome = Outcome()
        self._taken = taken
        self._restore, self._settings, self._host, self._watchers = restore, settings, host, watchers

    def is_open(self, job: Job) -> bool:
        """Whether there is no result of these settings yet."""
        try:
            reason = why_again(job.target, job.source, self._settings)
        except InputError as error:
            self._fail(job, error)
            return False
        if reason is None:
            self.outcome.kept += 1
            for watcher in self._watchers:
                watcher.kept(job)
            return False
        if reason:
            log.info("%s was made %s: it is made again", job.target, reason)
        return True

    def restore_one(self, job: Job) -> None:
        """Restore a picture, or say why that cannot be done."""
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            restored = self._restore(job, self._settings.record(job.source))
            job = self._written(job, restored.write)
        except HeadsUpError as error:
            self._fail(job, error)
        except OSError as error:
            self._fail(job, InputError(f"cannot be written ({error.strerror or error})"))
        except (MemoryError, RuntimeError) as error:
            if not self._host.is_out_of_memory(error):
                raise
            self._host.release_memory()
            self._fail(job, InputError("memory ran out: make it smaller, or give a --tile"))
        else:
            self.outcome.done += 1
            for watcher in self._watchers:
                watcher.done(job, restored.report)

    def _written(self, job: Job, write: Write) -> Job:
        """Write a result; under another name when another run has meanwhile made a file of that name."""
        while True:
            try:
                write(job.target, replace=is_own_result(job.target, job.source))
            except FileExistsError:
                folder, ending = job.target.parent, job.target.suffix
                job = replace(job, target=_target(folder, job.source, ending, self._taken))
                self._taken.add(name_key(job.target))
            else:
                return job

    def _fail(self, job: Job, error: HeadsUpError) -> None:
        named = str(error) if str(job.source) in str(error) else f"{job.source}: {error}"
        self.outcome.failed.append(named)
        for watcher in self._watchers:
            watcher.failed(job, named)
