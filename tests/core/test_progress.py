"""Progress where there is no terminal."""

from __future__ import annotations

import io
import logging

import pytest

from headsup_core import host
from headsup_core.host import LoggedProgress, PlainHost, TqdmProgress


def test_lines_with_the_time_left_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(host.time, "monotonic", lambda: now[0])
    with LoggedProgress(10, "pictures", seconds=30) as progress:
        for _ in range(10):
            now[0] += 20
            progress.advance()
            if now[0] == 80:
                progress.grow(2)
                progress.advance(2)

    assert caplog.messages == [
        "pictures: 2 of 10, about 02:40 left",
        "pictures: 4 of 10, about 02:00 left",
        "pictures: 8 of 12, about 01:00 left",
        "pictures: 10 of 12, about 00:32 left",
    ]


def test_a_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    assert isinstance(PlainHost("cpu").progress(3), LoggedProgress)
    assert isinstance(PlainHost("cpu", quiet=True).progress(3), TqdmProgress)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with PlainHost("cpu").progress(3, "pictures") as bar:
        bar.advance()
    assert "pictures" in stream.getvalue()
