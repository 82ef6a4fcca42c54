"""Write two models, a faithful and a crisp one, as one model that is mixed of them by --detail."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ...models.file_formats.two_ends import join_ends
from ..hosting import check_model_file

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faithful", type=Path, metavar="FAITHFUL", help="whole HeadsUp model, used alone at detail 0")
    parser.add_argument("crisp", type=Path, metavar="CRISP", help="another of its architecture, used alone at detail 1")
    parser.add_argument(
        "--default", type=float, default=0.5, metavar="DETAIL", help="0..1, when nobody asks for one (default 0.5)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help=".safetensors, card of the faithful file"
    )


def run(args: argparse.Namespace) -> int:
    check_model_file(args.output)
    join_ends(args.faithful, args.crisp, args.default, args.output)
    log.info("wrote %s", args.output)
    return 0
