"""LPIPS v0.1 (arXiv 1801.03924) by the lpips package, on squeezenet, AlexNet or VGG-16 from local files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from ...libraries import need
from ...training.losses.perceptual import LpipsNet, load_lpips
from .metric import FileOption, Measure, Metric, NotMeasured, Style


def _make(file: Path | None, net: LpipsNet) -> Measure:
    if file is None:
        raise NotMeasured("it needs the backbone's weights")
    need("lpips", purpose="measuring")
    network = load_lpips(file, net)

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        return float(network(result, truth, normalize=True))

    return measure


def _lpips(name: str, net: LpipsNet, flag: str, weights: str) -> Metric:
    words = f"{weights} weights as torchvision publishes them, for LPIPS-{net}"
    return Metric(name, Style("-"), partial(_make, net=net), FileOption(flag, "FILE", words))


LPIPS_SQUEEZE = _lpips("lpips", "squeeze", "--lpips-backbone", "squeezenet1_1")
LPIPS_ALEX = _lpips("lpips_alex", "alex", "--lpips-alex", "alexnet")
LPIPS_VGG = _lpips("lpips_vgg", "vgg", "--lpips-vgg", "vgg16")
