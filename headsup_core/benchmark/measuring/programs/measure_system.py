"""Seconds and peak memory of one system on a random picture: SYSTEM SIDE, from SIDE / 4 to SIDE px."""

from __future__ import annotations

import json
import sys
import time

import torch

from ....host import PlainHost
from ...comparing.system_names import make_systems
from ..fresh_processes import peak_bytes


def main(name: str, side: int) -> dict[str, float]:
    """`seconds`, `peak` bytes of the whole process, and `bare`, those of the interpreter before the system came."""
    picture = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    bare = peak_bytes()
    [system] = make_systems([name], PlainHost("cpu", quiet=True))
    system.upscale(torch.zeros(1, 3, 16, 16), 64, 64)
    started = time.perf_counter()
    system.upscale(picture, side, side)
    return {"seconds": time.perf_counter() - started, "peak": peak_bytes(), "bare": bare}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]))) + "\n")
