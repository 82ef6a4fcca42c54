"""All figures of a picture: a new one is a file beside this one, which is found by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch

from ...errors import InputError
from .dists import DISTS
from .gmsd import GMSD
from .lpips_distance import LPIPS_ALEX, LPIPS_SQUEEZE, LPIPS_VGG
from .metric import Measure, Metric, NotMeasured
from .niqe import NIQE
from .psnr import PSNR_Y
from .pyiqa_metrics import PYIQA
from .ssim import SSIM_Y

_FIRST: tuple[Metric, ...] = (PSNR_Y, SSIM_Y, GMSD, LPIPS_SQUEEZE, LPIPS_ALEX, LPIPS_VGG, DISTS, NIQE, *PYIQA)


def found_metrics(folder: str, package: str, known: Sequence[Metric] = ()) -> tuple[Metric, ...]:
    """The `Metric`s that the modules in a folder hold, alone or in a tuple, in the order of the modules' names.

    Args:
        package: whose modules they are.
        known: metrics that are left out, by name.
    """
    names = {metric.name for metric in known}
    found: dict[str, Metric] = {}
    modules = sorted(each.name for each in iter_modules([folder]) if each.name != Path(__file__).stem)
    for module in modules:
        for value in vars(import_module(f"{package}.{module}")).values():
            for one in value if isinstance(value, tuple) else (value,):  # pyright: ignore[reportUnknownVariableType]
                if isinstance(one, Metric) and one.name not in names:
                    found[one.name] = one
    return tuple(found.values())


METRICS: tuple[Metric, ...] = (*_FIRST, *found_metrics(str(Path(__file__).parent), __package__ or "", _FIRST))
"""In the order of the table's columns; those of further files come last."""


@dataclass(frozen=True)
class Metrics:
    """What is measured of every picture.

    Attributes:
        measures: by the metric's name.
        left_out: one line for each metric that is not measured: its name, and why.
    """

    measures: Mapping[str, Measure] = field(default_factory=dict[str, Measure])
    left_out: tuple[str, ...] = ()

    @classmethod
    def made(
        cls,
        files: Mapping[str, Path | None] | None = None,
        also: Sequence[str] = (),
        metrics: Sequence[Metric] = METRICS,
    ) -> Metrics:
        """Those that the files that are there allow; nothing of ours downloads anything.

        Args:
            files: metric -> the file that it needs.
            also: names of metrics that are measured only when they are named.

        Raises:
            InputError: `also` names a metric that does not exist, or a library is missing.
            ModelFileError: a file is missing or of another kind.
        """
        optional = [metric.name for metric in metrics if metric.only_when_named]
        if unknown := [name for name in also if name not in optional]:
            raise InputError(f"--also {unknown[0]}: choose from {', '.join(optional)}")
        measures: dict[str, Measure] = {}
        left_out: list[str] = []
        for metric in metrics:
            if metric.only_when_named and metric.name not in also:
                continue
            try:
                measures[metric.name] = metric.make((files or {}).get(metric.name))
            except NotMeasured as reason:
                flag = f" ({metric.file.flag})" if metric.file else ""
                left_out.append(f"{metric.name} is left out: {reason}{flag}")
        return cls(measures, tuple(left_out))

    @torch.no_grad()
    def measure(self, result: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Figures of `result` against `truth`, both `[1,3,H,W]` in 0..1, rounded to 8 bits as they would be saved.

        A metric that has no answer for this picture (NIQE of a small one) has no figure.

        Raises:
            ValueError: the sizes differ.
        """
        if result.shape != truth.shape:
            raise ValueError(f"result {tuple(result.shape)} and truth {tuple(truth.shape)} differ in size")
        result = (result.clamp(0, 1) * 255).round() / 255
        found = {name: measure(result, truth) for name, measure in self.measures.items()}
        return {name: value for name, value in found.items() if value is not None}
