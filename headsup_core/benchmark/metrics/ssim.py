"""Structural similarity of luma (Wang et al. 2004: 11 x 11 Gaussian window of 1.5 px, no reduction first), by piq."""

from __future__ import annotations

from pathlib import Path

import torch

from ...libraries import need
from .metric import Measure, Metric, Style, luma


def _make(file: Path | None) -> Measure:
    del file
    piq = need("piq", purpose="measuring")

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        return float(piq.ssim(luma(result), luma(truth), data_range=1.0, downsample=False))

    return measure


SSIM_Y = Metric("ssim_y", Style("+"), _make)
