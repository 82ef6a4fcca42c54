"""Write the mean of several models' weights as one model: between two stages of a training it is often the best."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ...errors import InputError
from ...models.file_formats.averaging import average_files
from ..hosting import check_model_file

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="whole HeadsUp models of one architecture")
    parser.add_argument("--weights", metavar="LIST", help="comma-separated, one of each file (default: equal)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help=".safetensors, card of the first file"
    )


def run(args: argparse.Namespace) -> int:
    try:
        weights = [float(part) for part in args.weights.split(",")] if args.weights else [1.0] * len(args.files)
    except ValueError as error:
        raise InputError(f"--weights {args.weights!r}: give numbers, for instance 0.2,0.8") from error
    check_model_file(args.output)
    average_files(args.files, weights, args.output)
    log.info("wrote %s", args.output)
    return 0
