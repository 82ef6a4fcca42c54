"""Train a one-step model, an IDFSR model or the landmark net from a configuration; continues the run in its folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..host import pick_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="YAML, see headsup_core/training/configs")
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the run (checkpoint, log)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the averaged model as .safetensors")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override one field (YAML)")
    parser.add_argument("--data", type=Path, help="folder that the paths of the configuration start from")
    parser.add_argument("--device")


def run(args: argparse.Namespace) -> int:
    import yaml

    from ..training.landmarks.landmark_subject import LandmarkConfig, LandmarkTrainer
    from ..training.restorer.restorer_config import read_config, read_record
    from ..training.trainer import Trainer

    pairs = [setting.partition("=") for setting in args.set]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"--set {wrong[0]}: expected FIELD=VALUE")
    overrides = {name: yaml.safe_load(value) for name, _, value in pairs}
    record = read_record(args.config, overrides)
    trains = record.pop("trains", None)
    if trains == "idfsr":
        return _train_idfsr(record, args)
    if trains == "face-landmarks":
        landmarks = LandmarkTrainer(
            LandmarkConfig.from_record(record, args.data or Path()), args.folder, pick_device(args.device)
        )
        landmarks.train()
        if args.export:
            landmarks.export(args.export)
        return 0
    config = read_config(args.config, overrides, args.data)
    trainer = Trainer(config, args.folder, pick_device(args.device))
    trainer.train()
    if args.export:
        trainer.export(args.export)
    trainer.finish()
    return 0


def _train_idfsr(record: dict[str, Any], args: argparse.Namespace) -> int:
    from ..idfsr.pretraining.idfsr_config import IDFSRConfig
    from ..idfsr.pretraining.idfsr_trainer import IDFSRTrainer

    config = IDFSRConfig.from_record(record, args.data or Path())
    trainer = IDFSRTrainer(config, args.folder, pick_device(args.device))
    trainer.train()
    if args.export:
        trainer.export(args.export)
    return 0
