"""DISTS, structure and texture similarity (arXiv 2004.07728), by piq."""

from __future__ import annotations

from pathlib import Path

import torch

from ...libraries import need
from .metric import Measure, Metric, Style, hub_checkpoints

FILES = ("vgg16-397923af.pth", "dists_weights.pt")
"""What piq downloads when they are not in torch's hub folder."""


def _make(file: Path | None) -> Measure:
    del file
    piq = need("piq", purpose="measuring")
    hub_checkpoints(*FILES)
    network = piq.DISTS().eval()

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        return float(network(result, truth))

    return measure


DISTS = Metric("dists", Style("-"), _make)
