"""What the landmark net is trained on and how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...option_fields import within
from ..run_config import RunConfig, rooted
from ..schedule import Fall


@dataclass(frozen=True, kw_only=True)
class LandmarkConfig(RunConfig):
    """Everything that decides a run, with `RunConfig`.

    Attributes:
        faces: folders (or indexes) of portraits.
        others: folders of pictures without faces.
        teacher: YuNet as ONNX, for portraits without an annotation beside them, and to see that the others show
            nobody.
        hold_out: every n-th person is left out for measuring.
    """

    faces: Sequence[str]
    others: Sequence[str]
    teacher: str
    hold_out: int = within(5, 0)
    batch: int = within(64, 1)
    decay_steps: int = within(4000, 0)
    fall: Fall = "cosine"
    learning_rate: float = within(2e-3, 0)
    weight_decay: float = within(1e-2, 0)
    ema: float = within(0.0, 0, 1)
    grad_clip: float = within(math.inf, 0)
    workers: int = within(0, 0)
    sample_every: int = within(1000, 1)

    @classmethod
    def fields_of(cls, record: Mapping[str, Any], data: Path) -> dict[str, Any]:
        folders = {name: [str(data / folder) for folder in record[name]] for name in ("faces", "others")}
        return {**record, **folders, **rooted(record, ("teacher",), data)}
