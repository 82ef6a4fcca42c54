"""Seconds and memory of one way to run the codec on a random picture: WAY HEIGHT WIDTH FILE."""

from __future__ import annotations

import json
import sys
import time

import torch

from ....host import PlainHost
from ....imaging.resizing import resize
from ..codec_ways import run_codec
from ..fresh_processes import forget_peak, held_bytes, peak_bytes
from ..random_model import random_model


def main(way: str, height: int, width: int, file: str) -> dict[str, float]:
    """`seconds` and peak `bytes` above the loaded model; the decoded picture is stored in `file`."""
    host, codec = PlainHost("cpu", quiet=True), random_model().one_step.codec
    loaded = held_bytes()
    random = torch.Generator().manual_seed(0)
    picture = resize(torch.rand(1, 3, height // 16, width // 16, generator=random), height, width)
    run_codec("whole", codec, picture[..., :64, :64], host)
    forget_peak()
    started = time.perf_counter()
    result = run_codec(way, codec, picture, host)
    seconds = time.perf_counter() - started
    torch.save(result, file)
    return {"seconds": seconds, "bytes": peak_bytes() - loaded}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])) + "\n")
