"""CPUs that compute in bfloat16 are known; there our own models take it, and it is offered for the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

import headsup_core as hu
from headsup_core.host import PlainHost
from headsup_core.models import precision
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.loading import load_one_step, resolve_dtype
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.precision import cpu_computes_in_bfloat16

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
    cpu_computes_in_bfloat16.cache_clear()
    assert cpu_computes_in_bfloat16(file) is known
    monkeypatch.setattr(torch.cpu, precision.TORCH_TESTS[0], lambda: True, raising=False)
    cpu_computes_in_bfloat16.cache_clear()
    assert cpu_computes_in_bfloat16(file), "torch knows it, too"
    cpu_computes_in_bfloat16.cache_clear()


def test_our_own_models_take_it_where_nobody_chose(
    toy_model: OneStepModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "toy.safetensors"
    save_headsup(file, toy_model)

    def taken(dtype: str, device: str | None) -> torch.dtype:
        host = None if device is None else SimpleNamespace(device=torch.device(device))
        return load_one_step(file, dtype=dtype, host=cast(PlainHost, host)).dtype

    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: True)
    assert taken("auto", "cpu") == torch.bfloat16
    assert taken("float32", "cpu") == torch.float32
    assert taken("auto", "cuda") == torch.float32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert taken("auto", None) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert taken("auto", None) == torch.float32, "a host that nobody gave computes on the GPU"
    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: False)
    assert taken("auto", "cpu") == torch.float32


def test_it_is_offered_for_others_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: True)
    taken = resolve_dtype("auto", hu.PlainHost("cpu"), 10**10)
    assert taken == torch.float32
    assert "bfloat16" in precision.offered("auto", taken, CPU)
    assert precision.offered("float32", taken, CPU) == "", "whoever chose is not told otherwise"
    assert precision.offered("auto", torch.float16, torch.device("cuda")) == ""
    monkeypatch.setattr(precision, "cpu_computes_in_bfloat16", lambda: False)
    assert precision.offered("auto", taken, CPU) == ""
