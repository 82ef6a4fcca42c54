"""Which precisions a device computes in at full speed, and what to offer to whoever left the choice to us."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

CPU_FLAGS = ("avx512_bf16", "amx_bf16")
"""Linux's names of what lets an x86 CPU multiply in bfloat16."""
TORCH_TESTS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""torch's own tests of the same, which are not part of its public interface."""


@lru_cache(maxsize=1)
def cpu_computes_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has AVX512-BF16 or AMX; False where neither torch nor the system says so."""
    for name in TORCH_TESTS:
        test: Callable[[], bool] | None = getattr(torch.cpu, name, None)
        if test is not None and test():
            return True
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return any(flag in flags for flag in CPU_FLAGS)


def offered(asked: str, taken: torch.dtype, device: torch.device) -> str:
    """What may be faster than the precision that "auto" took; "" for nothing.

    Of models of our own it is taken by itself; what it costs others was not measured (docs/performance.md).
    """
    if asked != "auto" or device.type != "cpu" or taken != torch.float32 or not cpu_computes_in_bfloat16():
        return ""
    return "this CPU computes in bfloat16: dtype bfloat16 takes about half the time, and its pictures differ a little"
