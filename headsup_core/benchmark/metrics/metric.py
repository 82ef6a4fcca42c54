"""What a quality figure is: its name, which way is better, and a function of a result and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

Measure = Callable[[torch.Tensor, torch.Tensor], float | None]
"""Figure of a result against the truth, both `[1,3,H,W]` in 0..1 of the same size; None where there is no answer."""


class NotMeasured(Exception):  # noqa: N818 - it is no error, but the reason why a figure is absent
    """A metric cannot be measured here; its text says why and what would be needed."""


@dataclass(frozen=True)
class Style:
    """How a figure is shown.

    Attributes:
        better: "+" higher, "-" lower, "" neither.
        digits: after the point.
    """

    better: Literal["+", "-", ""]
    digits: int = 3

    def heading(self, figure: str) -> str:
        """The name with the better direction behind it."""
        return f"{figure} ({self.better})" if self.better else figure


@dataclass(frozen=True)
class FileOption:
    """A file that a metric needs from the user: an option of the command line."""

    flag: str
    metavar: str
    help: str


@dataclass(frozen=True)
class Metric:
    """One figure of a picture. `all_metrics.METRICS` lists all; nothing else has to know a new one.

    Attributes:
        name: heads the column and names the figure in `results.json`.
        make: called once, with the file of `file` (None when there is none); raises `NotMeasured` where the figure
            cannot be measured here, `InputError` when a library is missing and `ModelFileError` for a wrong file.
        file: what the user has to give; without it the metric is left out.
        only_when_named: not measured but with `--also NAME`.
    """

    name: str
    style: Style
    make: Callable[[Path | None], Measure]
    file: FileOption | None = None
    only_when_named: bool = False


def luma(image: torch.Tensor) -> torch.Tensor:
    """Y of ITU-R BT.601 as the field uses it: 16..235 of 255, here as 0..1; `[B,1,H,W]`."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device) / 255
    return torch.einsum("bchw,c->bhw", image, weights)[:, None] + 16 / 255


def hub_checkpoints(*names: str) -> None:
    """Check that the files lie in torch's folder hub/checkpoints, so that nobody downloads them.

    Raises:
        NotMeasured: some do not.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise NotMeasured(f"torch's folder hub/checkpoints has no {' and no '.join(absent)}")
