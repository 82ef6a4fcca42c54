"""Files whole or not at all, and what killed processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headsup_core.whole_files import STALE_SECONDS, remove_leftovers, whole_file


def test_leftovers_of_the_dead_go_and_everything_else_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as temporary:
        temporary.touch()
    machine, own, name = temporary.stem.removeprefix(".headsup-").split("-")
    assert int(own) == os.getpid()
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    left = tmp_path / f".headsup-{machine}-{process.pid}-{name}.tmp"
    running = tmp_path / f".headsup-{machine}-{os.getppid()}-{name}.tmp"
    elsewhere = tmp_path / f".headsup-0badcafe-1-{name}.tmp"
    long_ago = tmp_path / f".headsup-0badcafe-2-{name}.tmp"
    folder = tmp_path / f".headsup-{machine}-999999999-{name}.tmp"
    others = [tmp_path / name for name in ("a.tmp", f".{name}.tmp", ".headsup-notes.tmp", left.name + ".png")]
    for path in (left, running, elsewhere, long_ago, *others):
        path.write_bytes(b"x")
    folder.mkdir()
    past = time.time() - STALE_SECONDS - 60
    os.utime(long_ago, (past, past))
    assert set(remove_leftovers(tmp_path)) == {left, long_ago}
    assert set(tmp_path.iterdir()) == {tmp_path / "a", running, elsewhere, folder, *others}
    assert remove_leftovers(tmp_path / "missing") == []


def test_a_file_is_replaced_whole_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        (tmp_path / "missing" / "b").read_bytes()
    assert path.read_bytes() == b"old"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == path.parent
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
