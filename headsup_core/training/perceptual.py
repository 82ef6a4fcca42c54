"""LPIPS (arXiv 1801.03924) by the lpips package, with backbone weights from a local file instead of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import ModelFileError

FP16_TAG = 0x01306B47  # ncnn writes this before a tensor stored as float16


def squeeze_lpips(squeezenet: Path) -> nn.Module:
    """LPIPS-squeeze, frozen, called as `lpips(a, b, normalize=True)` on pictures `[B,3,H,W]` in 0..1.

    Args:
        squeezenet: torchvision's squeezenet1_1 as `.pth`, or an ncnn `.bin` beside its `.param`.

    Raises:
        ModelFileError: the file is missing or holds other layers.
    """
    import lpips

    if not squeezenet.is_file():
        raise ModelFileError(f"LPIPS-squeeze needs squeezenet1_1's weights as a local file: {squeezenet} is missing")
    metric: Any = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = _read_ncnn(squeezenet) if squeezenet.suffix == ".bin" else torch.load(squeezenet, weights_only=True)
    backbone: dict[str, torch.Tensor] = metric.net.state_dict()
    # lpips names layers sliceI.N.…, N being torchvision's features.N
    wanted = {name: "features." + name.split(".", 1)[1] for name in backbone}
    if missing := sorted(set(wanted.values()) - set(state)):
        raise ModelFileError(f"{squeezenet} is not torchvision's squeezenet1_1: {missing[0]} is missing")
    metric.net.load_state_dict({name: state[source] for name, source in wanted.items()})
    return metric.eval().requires_grad_(False)


def _read_ncnn(weights: Path) -> dict[str, torch.Tensor]:
    """squeezenet1_1 from ncnn's layout, under torchvision's names; convolutions stand in graph order."""
    raw = weights.read_bytes()
    fires = [3, 4, 6, 7, 9, 10, 11, 12]
    names = [("features.0", 3)]
    for index in fires:
        names += [(f"features.{index}.squeeze", 1), (f"features.{index}.expand1x1", 1)]
        names += [(f"features.{index}.expand3x3", 3)]
    state: dict[str, torch.Tensor] = {}
    offset = 0
    for line in weights.with_suffix(".param").read_text().splitlines():
        fields = line.split()
        if not fields or fields[0] != "Convolution" or not names:
            continue
        options = dict(item.split("=") for item in fields if "=" in item)
        outputs, kernel, count = int(options["0"]), int(options["1"]), int(options["6"])
        name = next(entry for entry in names if entry[1] == kernel)
        names.remove(name)  # of the two expand layers either may come first
        if int.from_bytes(raw[offset : offset + 4], "little") != FP16_TAG:
            raise ModelFileError(f"{weights}: {fields[1]} is not stored as float16")
        weight = np.frombuffer(raw, np.float16, count, offset + 4).astype(np.float32)
        offset += 4 + (count * 2 + 3) // 4 * 4
        bias = np.frombuffer(raw, np.float32, outputs, offset).copy()
        offset += outputs * 4
        state[name[0] + ".weight"] = torch.from_numpy(weight).view(outputs, -1, kernel, kernel)
        state[name[0] + ".bias"] = torch.from_numpy(bias)
    return state
