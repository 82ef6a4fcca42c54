"""Peak signal-to-noise ratio of luma, in decibels, by piq."""

from __future__ import annotations

from pathlib import Path

import torch

from ...libraries import need
from .metric import Measure, Metric, Style, luma


def _make(file: Path | None) -> Measure:
    del file
    piq = need("piq", purpose="measuring")

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        return float(piq.psnr(luma(result), luma(truth), data_range=1.0))

    return measure


PSNR_Y = Metric("psnr_y", Style("+", 2), _make)
