"""Gradient magnitude similarity deviation (arXiv 1308.3052), by piq."""

from __future__ import annotations

from pathlib import Path

import torch

from ...libraries import need
from .metric import Measure, Metric, Style


def _make(file: Path | None) -> Measure:
    del file
    piq = need("piq", purpose="measuring")

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        return float(piq.gmsd(result, truth, data_range=1.0))

    return measure


GMSD = Metric("gmsd", Style("-"), _make)
