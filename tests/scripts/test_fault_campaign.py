"""A short form of the fault campaign, without killed runs (test_batch_interrupted has those)."""

from __future__ import annotations

import pytest
from support.fault_campaign import main


def test_a_short_campaign_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--count", "220", "--kills", "0", "--seed", "1"])
    said = capsys.readouterr().out
    assert status == 0, said
    assert "tracebacks: 0" in said
