"""Training configurations as YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.architecture import Architecture
from .data import SourceConfig


@dataclass(frozen=True)
class LossWeights:
    """The loss is the sum of these weights times their terms, y being the restored crop and x the true one:

    |y - x|, LPIPS(y, x), 1 - SSIM(y, x), |D(E(x)) - x|, `losses.periodic_texture(y - x)`, `losses.identity_loss`.
    """

    l1: float = 1.0
    lpips: float = 0.15
    ssim: float = 0.0
    codec: float = 0.25
    periodic: float = 8.0
    identity: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run.

    Attributes:
        crop: side of the training crops in output pixels.
        codec_steps: first steps, in which the codec alone learns to reproduce clean pictures.
        lpips_from: step from which LPIPS counts.
        decay_steps: last steps, over which the learning rate falls to zero.
        init: HeadsUp file to start from, read only when the run begins: tensors of the same name and shape are taken
            over, others start anew. "" starts from random weights.
        reference_drop: how often a reference is left out.
        teacher: YuNet's file, which finds the landmarks of sources with references; "" without such sources.
        recogniser: MobileFaceNet's file, for the identity loss; "" without one.
        lpips_backbone: file with squeezenet1_1's weights (see `perceptual.squeeze_lpips`).
    """

    architecture: Architecture
    sources: tuple[SourceConfig, ...]
    degradations: dict[str, float]
    lpips_backbone: str
    init: str = ""
    teacher: str = ""
    recogniser: str = ""
    reference_drop: float = 0.2
    crop: int = 192
    batch: int = 6
    steps: int = 4000
    codec_steps: int = 400
    lpips_from: int = 800
    warmup_steps: int = 100
    decay_steps: int = 1000
    learning_rate: float = 4e-4
    ema: float = 0.998
    grad_clip: float = 1.0
    seed: int = 0
    workers: int = 1
    checkpoint_every: int = 200
    sample_every: int = 400
    loss: LossWeights = field(default_factory=LossWeights)


def read_record(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A YAML configuration as it stands; `overrides` replaces top-level fields.

    Raises:
        InputError: the file is missing, or holds no mapping.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text()) | dict(overrides or {})
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"training configuration {path} cannot be used: {error}") from error


def read_config(path: Path, overrides: Mapping[str, Any] | None = None, data: Path | None = None) -> TrainConfig:
    """Read a YAML configuration; `overrides` replaces top-level fields, relative paths start from `data`.

    Raises:
        InputError: the file is missing, not YAML, or names an unknown field.
    """
    record = read_record(path, overrides)
    try:
        record["architecture"] = Architecture.from_json(record["architecture"])
        root = data or Path()
        sources: list[dict[str, Any]] = [dict(source) for source in record["sources"]]
        for source in sources:
            source["folder"] = str(root / source["folder"])
        record["sources"] = tuple(SourceConfig(**source) for source in sources)
        for name in ("lpips_backbone", "teacher", "recogniser"):
            if record.get(name):
                record[name] = str(root / record[name])
        record["loss"] = LossWeights(**record.get("loss", {}))
        return TrainConfig(**record)
    except (TypeError, KeyError) as error:
        raise InputError(f"training configuration {path} cannot be used: {error}") from error
