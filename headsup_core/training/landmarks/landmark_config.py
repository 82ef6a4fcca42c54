"""What the landmark net is trained on and how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    hold_out: int = 5
    batch: int = 64
    decay_steps: int = 4000
    fall: Fall = "cosine"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema: float = 0.0
    grad_clip: float = math.inf
    workers: int = 0
    sample_every: int = 1000

    @classmethod
    def fields_of(cls, record: Mapping[str, Any], data: Path) -> dict[str, Any]:
        folders = {name: [str(data / folder) for folder in record[name]] for name in ("faces", "others")}
        return {**record, **folders, **rooted(record, ("teacher",), data)}
