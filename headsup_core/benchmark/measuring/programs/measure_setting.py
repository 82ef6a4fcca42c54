"""Seconds and memory of one way to restore a random picture: the fields of `performance.Setting` as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

from ....host import PlainHost
from ....restoring.options import RestoreOptions
from ....restoring.pipeline import restore
from ..fresh_processes import forget_peak, held_bytes, peak_bytes
from ..random_model import load_measured


def main(setting: dict[str, Any]) -> dict[str, float]:
    """`seconds`, peak `bytes` above the loaded model, and `work`, processed area / picture area.

    The restored picture is stored in the file `save`, if it is not "".
    """
    host, side = PlainHost("cpu", quiet=True), int(setting["side"])
    picture = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    model = load_measured(setting["model"], host, setting["dtype"])
    loaded = held_bytes()
    restore(torch.zeros(1, 3, 16, 16), model, scale=4, host=host)
    tile, batch = setting["tile"] or None, setting["tile_batch"] or None
    options = RestoreOptions(scale=4, tile=tile, overlap=setting["overlap"], tile_batch=batch)
    forget_peak()
    started = time.perf_counter()
    done = restore(picture, model, options, host=host)
    seconds = time.perf_counter() - started
    if setting["save"]:
        torch.save(done.image, setting["save"])
    return {"seconds": seconds, "bytes": peak_bytes() - loaded, "work": done.report.work_ratio}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
