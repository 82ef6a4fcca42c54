"""A short form of the fault campaign; the full one is `scripts/fault_campaign`."""

from __future__ import annotations

import pytest
from support.fault_campaign import main


def test_a_short_campaign_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--count", "220", "--kills", "1", "--seed", "1"])
    said = capsys.readouterr().out
    assert status == 0, said
    assert "tracebacks: 0" in said
