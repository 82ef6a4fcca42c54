"""Quality without a truth by the networks that the papers use, through the user's own pyiqa.

pyiqa is for non-commercial use only, brings much along and downloads its weights: it is no dependency, and these
figures are measured only when they are named.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from ...libraries import need
from .metric import Measure, Metric, Style

NAMES = {"musiq": 2, "clipiqa": 4, "maniqa-pipal": 4, "maniqa": 4, "liqe": 3, "qalign": 3}
"""pyiqa's names, with the digits that papers print. Higher is better for all."""


def _make(file: Path | None, name: str) -> Measure:
    del file
    network = need("pyiqa", purpose=f"the figure {name}").create_metric(name, device="cpu")

    def measure(result: torch.Tensor, truth: torch.Tensor) -> float:
        del truth
        return float(network(result))

    return measure


PYIQA = tuple(
    Metric(name, Style("+", digits), partial(_make, name=name), only_when_named=True) for name, digits in NAMES.items()
)
