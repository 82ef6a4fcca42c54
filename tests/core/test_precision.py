"""CPUs that compute in bfloat16 are known, and it is offered there, never taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import headsup_core as hu
from headsup_core.models import precision
from headsup_core.models.loading import resolve_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "known"),
    [("fpu avx2 avx512f", False), ("fpu avx512f avx512_bf16", True), ("fpu amx_tile amx_bf16", True), (None, False)],
)
def test_the_system_says_what_the_cpu_can(
    flags: str | None, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in precision.TORCH_TESTS:
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"model name\t: some CPU\nflags\t\t: {flags}\n")
    precision.cpu_computes_in_bfloat16.cache_clear()
    assert precision.cpu_computes_in_bfloat16(file) is known
    monkeypatch.setattr(torch.cpu, precision.TORCH_TESTS[0], lambda: True, raising=False)
    precision.cpu_computes_in_bfloat16.cache_clear()
    assert precision.cpu_computes_in_bfloat16(file), "torch knows it, too"
    precision.cpu_computes_in_bfloat16.cache_clear()


def test_it_is_offered_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: True)
    taken = resolve_dtype("auto", hu.PlainHost("cpu"), 10**10)
    assert taken == torch.float32
    assert "bfloat16" in precision.offered("auto", taken, CPU)
    assert precision.offered("float32", taken, CPU) == "", "whoever chose is not told otherwise"
    assert precision.offered("auto", torch.float16, torch.device("cuda")) == ""
    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: False)
    assert precision.offered("auto", taken, CPU) == ""
