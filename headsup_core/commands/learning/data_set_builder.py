"""`dataset build` into a folder: photos through the stages on an engine, people by near neighbours, a test split."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ...bulk.bulk_run import FAILURES, run_bulk
from ...bulk.data_sets.assembling import INDEX, PARTS, PairOptions, PartWriter, finish, merge
from ...bulk.data_sets.photo_records import EMBEDDER, read_parts
from ...bulk.data_sets.photo_stages import PhotoWorker, StageOptions
from ...bulk.destinations import Destination
from ...bulk.engine import need_ray
from ...bulk.sources import give_places, list_items
from ...errors import InputError
from ...faces.analyzer import AnalyzerBase
from ...option_fields import declared_options
from ..hosting import check_folder, make_host
from ..identifying.analyzing import make_analyzer
from ..in_bulk.bulk_arguments import add_engine_arguments, engine_of
from ..option_arguments import add_option_arguments, given_arguments

log = logging.getLogger(__name__)

OF_A_FOLDER = (
    *declared_options(StageOptions), "quality_file", "test_share",
    "engine", "ray_address", "workers", "cpus_per_worker", "gpus_per_worker",
)  # fmt: skip
"""Options of `dataset build` that only a folder as output uses."""


def add_builder_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `OF_A_FOLDER`."""
    add_option_arguments(parser, StageOptions)
    parser.add_argument("--quality-file", type=Path, metavar="FILE", help="of --quality, as NIQE's parameters (.npz)")
    parser.add_argument("--test-share", type=float, default=0.1, metavar="X", help="of the people (default 0.1)")
    add_engine_arguments(parser, plain=False)


def build_folder(args: argparse.Namespace) -> int:
    """Take photos through the stages and write the data set. Status 2 when photos could not be read."""
    stages, pairs, engine, folder = _stages(args), pair_options(args), engine_of(args), args.output
    if engine.kind == "ray":
        need_ray()
    check_folder(folder)
    embedder = make_analyzer(args, make_host(args)).embedder_id
    made_with: dict[str, Any] = {**asdict(stages), "quality_file": str(args.quality_file or ""), EMBEDDER: embedder}
    records, _ = read_parts(folder / PARTS, made_with)
    known = {record.key for record in records}
    items = give_places(list_items([str(source) for source in args.folders], without=str(folder)), ".img")
    todo = [item for item in items if item.key not in known]
    log.info("%d photos, %d of them were looked at before", len(items), len(items) - len(todo))
    writer = PartWriter(folder / PARTS, uuid.uuid4().hex[:8], made_with, engine.block)
    worker = partial(PhotoWorker, stages, partial(_analyzer, args), args.quality_file, str(folder.absolute()))
    failed = 0
    try:
        if todo:
            outcome = run_bulk(todo, worker, engine, Destination(str(folder)), quiet=args.quiet, told=[writer])
            failed = outcome.counts["failed"]
    finally:
        writer.flush()
    records, _ = read_parts(folder / PARTS, made_with)
    _say(finish(folder, records, embedder, pairs), folder)
    if failed:
        log.warning("%d photos could not be read: %s names them", failed, folder / FAILURES)
    return 2 if failed else 0


def merge_folders(args: argparse.Namespace) -> int:
    """One data set of several."""
    check_folder(args.output)
    if os.path.realpath(args.output) in [os.path.realpath(folder) for folder in args.folders]:
        raise InputError(f"--output {args.output} is one of the data sets: choose another folder")
    _say(merge(args.folders, args.output, pair_options(args)), args.output)
    return 0


def pair_options(args: argparse.Namespace) -> PairOptions:
    """Raises `InputError` when one is out of range."""
    return PairOptions(args.threshold, args.scale, args.partners, args.test_share)


def _stages(args: argparse.Namespace) -> StageOptions:
    return StageOptions(**given_arguments(StageOptions, args))


def _analyzer(args: argparse.Namespace) -> AnalyzerBase:
    return make_analyzer(args, make_host(args))


def _say(report: dict[str, Any], folder: Path) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    fell = ", ".join(f"{count} at {stage}" for stage, count in report["fell"].items() if count) or "none"
    log.info(
        "%d photos, %d kept with %d faces of %d people, %d pairs; fell: %s. %s",
        report["photos"], report["kept"], report["faces"], report["people"], report["pairs"], fell, folder / INDEX,
    )  # fmt: skip
