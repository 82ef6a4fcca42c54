"""Train a one-step model, an IDFSR model or the landmark net from a configuration; continues the run in its folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...host import pick_device
from ..hosting import check_model_file

if TYPE_CHECKING:
    from ...training.run_config import RunConfig

RESTORER = "restorer"
"""What a configuration trains that does not say so."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="YAML, see headsup_core/training/configs")
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the run (checkpoint, log)")
    parser.add_argument(
        "--continue",
        dest="earlier",
        type=Path,
        metavar="RUN",
        help="begin with all that another run has learned: weights, averages, optimizer, critic, distillation's copy",
    )
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the averaged model as .safetensors")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field (YAML): crop=512, loss.l2=0"
    )
    parser.add_argument("--data", type=Path, help="folder that the paths of the configuration start from")
    parser.add_argument("--device")


def run(args: argparse.Namespace) -> int:
    from ...training.run_config import read_record
    from ...training.trainer import Trainer

    record = read_record(args.config, overrides_of(args.set))
    kinds, trains = kinds_of_training(), record.pop("trains", RESTORER)
    if trains not in kinds:
        raise InputError(f"{args.config} trains {trains!r}: choose one of {', '.join(kinds)}")
    make_config, make_subject = kinds[trains]
    config = make_config.from_record(record, args.data or Path())
    if args.export:
        check_model_file(args.export, "--export")
    trainer = Trainer(make_subject, config, args.folder, pick_device(args.device), args.earlier)
    trainer.train()
    if args.export:
        trainer.export(args.export)
    trainer.finish()
    return 0


def overrides_of(settings: Sequence[str]) -> dict[str, Any]:
    """What `--set FIELD=VALUE` says, values as YAML. Raises `InputError` for one of another form."""
    import yaml

    from ...training.run_config import parse_yaml

    pairs = [setting.partition("=") for setting in settings]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"--set {wrong[0]}: expected FIELD=VALUE")
    values: dict[str, Any] = {}
    for name, _, value in pairs:
        try:
            values[name] = parse_yaml(value)
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
            raise InputError(f"--set {name}={value} is not YAML: {' '.join(str(error).split())}") from error
    return values


def kinds_of_training() -> dict[str, tuple[type[RunConfig], type[Any]]]:
    """By the word in a configuration's `trains`: the class of the configuration and that of the subject."""
    from ...idfsr.pretraining.idfsr_config import IDFSRConfig
    from ...idfsr.pretraining.idfsr_subject import IDFSRSubject
    from ...training.landmarks.landmark_config import LandmarkConfig
    from ...training.landmarks.landmark_subject import LandmarkSubject
    from ...training.restorer.restorer_config import RestorerConfig
    from ...training.restorer.restorer_subject import RestorerSubject

    return {
        RESTORER: (RestorerConfig, RestorerSubject),
        "idfsr": (IDFSRConfig, IDFSRSubject),
        "face-landmarks": (LandmarkConfig, LandmarkSubject),
    }
