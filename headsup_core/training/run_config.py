"""What every training configuration has in common, and how its YAML file is read."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import InputError
from ..option_fields import check_fields, within
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

    batch: int = within(6, 1)
    accumulate: int = within(1, 1)
    steps: int = within(4000, 1)
    warmup_steps: int = within(100, 0)
    decay_steps: int = within(1000, 0)
    fall: Fall = "linear"
    minutes: float = within(0.0, 0)
    learning_rate: float = within(4e-4, 0)
    weight_decay: float = within(1e-4, 0)
    ema: float = within(0.998, 0, 1)
    grad_clip: float = within(1.0, 0)
    seed: int = 0
    workers: int = within(1, 0)
    checkpoint_every: int = within(200, 1)
    sample_every: int = within(400, 1)
    precision: Precision = ""

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_record(cls: type[Config], record: Mapping[str, Any], data: Path) -> Config:
        """The configuration in a YAML file's content; paths of data start from `data`.

        Raises:
            InputError: unknown or missing fields, or a value that cannot be.
            ModelFileError: an architecture that is not understood.
        """
        try:
            return cls(**cls.fields_of(record, data))
        except KeyError as error:
            raise InputError(f"training configuration cannot be used: {error} is missing") from error
        except (TypeError, ValueError) as error:
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
        record: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8")) | {}
        for name, value in (overrides or {}).items():
            _replace(record, name, value)
        return record
    except OSError as error:
        raise InputError(f"training configuration {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, TypeError, ValueError) as error:  # ValueError: not UTF-8, or a date that is none
        raise InputError(f"training configuration {path} cannot be used: {error}") from error


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - any YAML
    """YAML as 1.2 reads numbers: `5e-5` is one, which YAML 1.1 takes for a text. Raises `yaml.YAMLError`."""
    import yaml

    class Loader(yaml.SafeLoader):
        """With resolvers of its own, so that the library's stay as they are."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+\Z"), list("-+0123456789"))
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader


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
    return {name: str(root / text_of(record, name)) for name in names if record.get(name)}


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A field that is a text. Raises `InputError` for anything else."""
    if not isinstance(record[name], str):
        raise InputError(f"{name} is {record[name]!r}: must be a text")
    return record[name]


def mapping_of(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is a mapping, {} where it is not given. Raises `InputError` for anything else."""
    value = record.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"{name} is {value!r}: must be a mapping")
    return cast(dict[str, Any], value)


def check_shares(shares: Mapping[str, Any], name: str, known: Collection[str]) -> None:
    """Check a mapping of names to shares. Raises `InputError` for unknown names, and for shares that are none."""
    if not isinstance(shares, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - YAML gives anything
        raise InputError(f"{name} is {shares!r}: must be a mapping of names to shares")
    for each, share in shares.items():
        if each not in known:
            raise InputError(f"{name} {each!r} is unknown: choose of {', '.join(known)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < math.inf:
            raise InputError(f"{name}.{each} is {share!r}: must be a number from 0 on")


def rooted_sources(record: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    """A YAML record's `sources`, their folders starting from `root`."""
    listed: Any = record["sources"]
    if not isinstance(listed, list) or not all(isinstance(source, dict) and "folder" in source for source in listed):
        raise InputError(f"sources is {listed!r}: must be a list of mappings, each with its folder")
    sources: list[dict[str, Any]] = listed
    return [source | {"folder": str(root / source["folder"])} for source in sources]
