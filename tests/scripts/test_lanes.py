"""The parts of scripts/test run side by side; none is lost, and each ends as it ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from harness.refusals import raises_naming
from support import lanes, testing
from support.console import ScriptError
from support.lanes import Job, Lanes, Outcome

WAIT = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.01)
print("met", other.name)
"""
BURN = "import time\nwhile time.process_time() < 0.5: pass"


def python(name: str, code: str, *arguments: object) -> Job:
    return Job(name, [sys.executable, "-c", code, *map(str, arguments)])


@pytest.mark.timeout(60)
def test_jobs_run_at_the_same_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"

    done = Lanes(2, tmp_path, tmp_path / "logs").run([python("one", WAIT, a, b), python("two", WAIT, b, a)])

    assert [(each.name, each.status) for each in done] == [("one", 0), ("two", 0)]
    said = capfd.readouterr().out
    assert "== one\nmet b\n" in said
    assert "== two\nmet a\n" in said


def test_one_lane_runs_them_in_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jobs = [python(name, f"print('this is {name}')") for name in ("a", "b", "c")]

    Lanes(1, tmp_path, tmp_path / "logs").run(jobs)

    said = capfd.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("this")] == ["this is a", "this is b", "this is c"]


def test_status_and_errors_of_each_are_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failing = python("bad part 1/2", "import sys; sys.exit('a reason')")

    done = Lanes(2, tmp_path, tmp_path / "logs").run([failing, python("good", "")])

    assert [each.status for each in done] == [1, 0]
    assert "== bad part 1/2\na reason\n" in capfd.readouterr().out
    assert testing.summarise(done, 1.0) == 1
    assert testing.summarise(done[1:], 1.0) == 0


def test_cpu_time_counts_child_processes(tmp_path: Path) -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"

    (done,) = Lanes(1, tmp_path, tmp_path / "logs").run([python("parent", parent)])

    assert 0.5 <= done.cpu_seconds < 5


def test_a_single_job_is_shown_as_it_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Lanes(2, tmp_path, tmp_path / "logs").run([python("alone", "print('here')")])

    assert capfd.readouterr().out == "== alone\nhere\n"
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("asked", "cores", "gibibytes", "expected"),
    [(None, 1, 24, 1), (None, 2, 24, 2), (None, 64, 256, 4), (None, 8, 7, 2), (None, 4, 1, 1), ("7", 2, 24, 7)],
)
def test_number_of_lanes(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, cores: int, gibibytes: int, expected: int
) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gibibytes << 18}
    monkeypatch.setattr(lanes.os, "sched_getaffinity", lambda _process: set(range(cores)), raising=False)
    monkeypatch.setattr(lanes.os, "sysconf", pages.__getitem__)
    monkeypatch.delenv(lanes.LANES, raising=False)
    if asked:
        monkeypatch.setenv(lanes.LANES, asked)

    assert lanes.lanes_here() == expected


@pytest.mark.parametrize("asked", ["0", "-1", "many", ""])
def test_other_numbers_of_lanes_are_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv(lanes.LANES, asked)

    with raises_naming(ScriptError, lanes.LANES):
        lanes.lanes_here()


@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_every_test_file_and_check_runs_once(root: Path, count: int) -> None:
    there = sorted(str(path.relative_to(root)) for path in (root / "tests").rglob("test_*.py"))

    jobs = testing.jobs([], [], count)

    ran: list[str] = []
    for job in jobs:
        if job.name in testing.CHECKS:
            continue
        paths = [root / word for word in job.command[len(testing.PYTEST) :]]
        assert paths, "pytest would run everything"
        found = [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]
        ran.extend(str(file.relative_to(root)) for file in found)
    assert sorted(ran) == there
    assert set(testing.CHECKS) <= {job.name for job in jobs}
    assert len({job.name for job in jobs}) == len(jobs)


def test_options_make_one_run_of_the_chosen_parts() -> None:
    (job,) = testing.jobs(["core", "nodes"], ["-k", "tiles"], 2)

    assert job.command[-4:] == ["tests/core", "tests/nodes", "-k", "tiles"]


def test_summary_names_the_slowest_and_what_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times, not_run = tmp_path / "seconds.txt", tmp_path / "not-run.txt"
    times.write_text("".join(f"{n}.00\ttest number {n}\n" for n in range(12)))
    not_run.write_text("test x (no GPU)\n")
    monkeypatch.setattr(testing, "TEST_SECONDS", times)
    monkeypatch.setattr(testing, "NOT_RUN", not_run)

    testing.summarise([Outcome("core", 0, 62.0, 31.0), Outcome("nodes", 2, 5.0, 4.0)], 65.0)

    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[-1] for words in said if words[2:3] == ["test"]] == [str(n) for n in range(11, 1, -1)]
    assert ["core", "62", "31", "passed"] in said
    assert ["nodes", "5", "4", "FAILED", "(status", "2)"] in said
    assert ["all", "65", "35"] in said
    assert any("test x (no GPU)" in " ".join(words) for words in said)
