"""A short form of the fault campaign, and that it would notice."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from support.fault_campaign import main

PARTS = ("count", "kills", "allocations", "commands", "cancels", "batches", "prompts", "frames")


def arguments(**counts: int) -> list[str]:
    """Those of a campaign that does nothing else."""
    return [text for part in PARTS for text in (f"--{part}", str(counts.get(part, 0)))]


SHORT = [*arguments(count=110, kills=2, allocations=12, commands=1, cancels=6, batches=1), "--seed", "1"]


@pytest.fixture(autouse=True)
def threads() -> Generator[None]:
    """The campaign computes in one thread."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_short_campaign_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(SHORT)
    said = capsys.readouterr().out
    assert status == 0, said
    for kind in ("tracebacks", "hangs", "half-written files", "lost pictures", "wrong pictures", "growing memory"):
        assert f"{kind}: 0" in said.splitlines()
    assert "2 killed runs" in said
    assert "12 failing allocations" in said


def test_files_that_are_written_in_place_are_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def in_place(path: Path, *, replace: bool = True) -> Generator[Path]:
        """Half a file lies there for a while."""
        del replace
        other = path.with_name(f".{path.stem}.tmp")
        yield other
        content = other.read_bytes()
        other.unlink()
        path.write_bytes(content[: len(content) // 2])
        time.sleep(0.05)
        path.write_bytes(content)

    monkeypatch.setattr("headsup_core.image_files.writing.whole_file", in_place)
    status = main(arguments(kills=3))
    assert status == 1
    assert "half-written files: 0" not in capsys.readouterr().out.splitlines()
