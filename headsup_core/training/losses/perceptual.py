"""LPIPS (arXiv 1801.03924) by the lpips package, with backbone weights from a local file instead of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from ...errors import InputError, ModelFileError
from ...libraries import need

LpipsNet = Literal["squeeze", "vgg", "alex"]
BACKBONES = dict(zip(get_args(LpipsNet), ("squeezenet1_1", "vgg16", "alexnet"), strict=True))
FP16_TAG = 0x01306B47  # ncnn writes this before a tensor stored as float16


def load_lpips(backbone: Path, net: LpipsNet = "squeeze") -> nn.Module:
    """LPIPS, frozen, called as `lpips(a, b, normalize=True)` on pictures `[B,3,H,W]` in 0..1.

    Args:
        backbone: torchvision's squeezenet1_1, vgg16 or alexnet as `.pth`; squeezenet1_1 also as ncnn `.bin` beside its
            `.param`. The linear layers come with the lpips package.

    Raises:
        ModelFileError: the file is missing or holds other layers.
        InputError: unknown `net`, or lpips is not installed.
    """
    lpips = need("lpips", purpose="LPIPS")
    if net not in BACKBONES:
        raise InputError(f"LPIPS net {net!r} is unknown: choose one of {', '.join(BACKBONES)}")
    if not backbone.is_file():
        raise ModelFileError(f"LPIPS-{net} needs {BACKBONES[net]}'s weights as a local file: {backbone} is missing")
    metric: Any = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = _read_ncnn(backbone) if backbone.suffix == ".bin" else torch.load(backbone, weights_only=True)
    own: dict[str, torch.Tensor] = metric.net.state_dict()
    # lpips names layers sliceI.N.…, N being torchvision's features.N
    wanted = {name: "features." + name.split(".", 1)[1] for name in own}
    if missing := sorted(set(wanted.values()) - set(state)):
        raise ModelFileError(f"{backbone} is not torchvision's {BACKBONES[net]}: {missing[0]} is missing")
    metric.net.load_state_dict({name: state[source] for name, source in wanted.items()})
    return metric.eval().requires_grad_(False)


def squeeze_lpips(squeezenet: Path) -> nn.Module:
    """`load_lpips` with squeezenet1_1."""
    return load_lpips(squeezenet, "squeeze")


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
