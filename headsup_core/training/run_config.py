"""What every training configuration has in common, and how its YAML file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from .processes import Precision
from .schedule import Fall

Config = TypeVar("Config", bound="RunConfig")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run goes, whatever it trains; subclasses say what, and change defaults.

    Attributes:
        batch: samples that are computed at once, in each process.
        accumulate: batches whose gradients are summed before a step; one step then is that of `accumulate` times the
            batch, in the memory of one. Noise that a loss draws, and statistics of a batch, are drawn for each batch.
        warmup_steps: first steps, over which the learning rate rises.
        decay_steps: last steps, over which it falls to zero.
        fall: how it falls: linear, or along half a cosine.
        minutes: of this process, reading the data included, after which the run stops as if it were done; over the last
            third of them the learning rate falls to zero. 0: only the steps count. A run that time stopped is no longer
            the same whatever the machine.
        ema: decay of the averaged weights, which are exported; 0: the last weights.
        grad_clip: largest norm of the gradient; of each learner's beside the networks, too.
        seed: decides samples, noise and fresh weights.
        workers: processes that prepare samples.
        checkpoint_every, sample_every: steps.
        precision: "bf16" computes the networks in it; "no"; "" as `accelerate launch` was told.

    Raises:
        InputError: a number that cannot be.
    """

    batch: int = 6
    accumulate: int = 1
    steps: int = 4000
    warmup_steps: int = 100
    decay_steps: int = 1000
    fall: Fall = "linear"
    minutes: float = 0.0
    learning_rate: float = 4e-4
    weight_decay: float = 1e-4
    ema: float = 0.998
    grad_clip: float = 1.0
    seed: int = 0
    workers: int = 1
    checkpoint_every: int = 200
    sample_every: int = 400
    precision: Precision = ""

    def __post_init__(self) -> None:
        for name in ("batch", "accumulate", "steps", "checkpoint_every", "sample_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.minutes < 0:
            raise InputError(f"minutes {self.minutes:g}: must be at least 0")
        if self.fall not in ("linear", "cosine"):
            raise InputError(f"fall {self.fall!r}: must be linear or cosine")

    @classmethod
    def from_record(cls: type[Config], record: Mapping[str, Any], data: Path) -> Config:
        """The configuration in a YAML file's content; paths of data start from `data`.

        Raises:
            InputError: unknown or missing fields, or a value that cannot be.
            ModelFileError: an architecture that is not understood.
        """
        try:
            return cls(**cls.fields_of(record, data))
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(f"training configuration cannot be used: {error}") from error

    @classmethod
    def fields_of(cls, record: Mapping[str, Any], data: Path) -> dict[str, Any]:
        """The fields in a YAML file's content, with paths that start from `data` and records in place of mappings."""
        del data
        return dict(record)


def read_record(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A YAML configuration as it stands; `overrides` replaces fields, `{"loss.l1": 0}` one field of a field.

    Raises:
        InputError: the file is missing, or holds no mapping, or an override names a field of what has none.
    """
    import yaml

    try:
        record: dict[str, Any] = yaml.safe_load(path.read_text()) | {}
        for name, value in (overrides or {}).items():
            _replace(record, name, value)
        return record
    except OSError as error:
        raise InputError(f"training configuration {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, TypeError) as error:
        raise InputError(f"training configuration {path} cannot be used: {error}") from error


def _replace(record: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401 - any YAML
    *outer, last = name.split(".")
    fields: Any = record
    for part in outer:
        fields = fields.setdefault(part, {})
        if not isinstance(fields, dict):
            raise InputError(f"{name}: {part} has no fields here, give it as a whole")
    fields[last] = value


def rooted(record: Mapping[str, Any], names: tuple[str, ...], root: Path) -> dict[str, str]:
    """Those of the named fields that are set, as paths that start from `root`."""
    return {name: str(root / record[name]) for name in names if record.get(name)}


def rooted_sources(record: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    """A YAML record's `sources`, their folders starting from `root`."""
    sources: list[dict[str, Any]] = [dict(source) for source in record["sources"]]
    return [source | {"folder": str(root / source["folder"])} for source in sources]
