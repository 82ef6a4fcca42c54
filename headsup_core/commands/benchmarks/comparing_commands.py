"""`benchmark restore` and `benchmark sheets`: systems side by side on the same pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ..hosting import make_host
from .shared_arguments import (
    Subcommands,
    add_analyzer_argument,
    add_cases_arguments,
    add_judge_arguments,
    add_report_arguments,
    add_subcommand,
    clean_folder,
    finish,
    indexed_cases,
    judges,
    measure_and_report,
    named,
)

if TYPE_CHECKING:
    from ...benchmark.comparing.cases import Cases

SYSTEMS = (
    "comma-separated: bicubic, lanczos, realesrgan-x4plus, models, MODEL@detail=0.5 (options of loading), "
    "ADAPTER@base=BASE, MODEL:tile=512 (options of restoring); a model last followed by +reference, +assigned or "
    "+stranger, and =0.5 for how much of the photo counts"
)

USUAL_PEER = "bicubic"


def add_subcommands(subcommands: Subcommands) -> None:
    restore = add_subcommand(subcommands, "restore", _restore)
    _add_pictures(restore)
    _add_systems(restore, "bicubic,lanczos,realesrgan-x4plus,headsup-tiny")
    restore.add_argument(
        "--peer", help="system that the differences are taken from; default bicubic, or the first where that is missing"
    )
    add_judge_arguments(restore)
    add_report_arguments(restore)
    restore.add_argument("--memory", action="store_true", help="peak memory of each system, in processes of their own")
    sheets = add_subcommand(subcommands, "sheets", _sheets)
    _add_pictures(sheets)
    _add_systems(sheets, "headsup-tiny,headsup-tiny+reference")
    add_analyzer_argument(sheets)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures",
        nargs="?",
        type=Path,
        help="folder of clean pictures, or an index of `dataset build`, degraded with --degradation",
    )
    parser.add_argument("--pairs", nargs=2, type=Path, metavar=("BAD", "TRUTH"), help="folders of pairs instead")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="with --pairs: a reference photo of each name")
    add_cases_arguments(parser)


def _add_systems(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--systems", default=default, help=f"{SYSTEMS}; default {default}")


def _cases(args: argparse.Namespace) -> tuple[Cases, str]:
    """And a title. Raises `InputError` unless there is one source of pictures."""
    from ...benchmark.comparing.cases import PairFolders
    from ...training.data.index_table import INDEX_SUFFIXES

    if (args.pictures is None) == (args.pairs is None):
        found = "nothing to measure" if args.pairs is None else "two sources of pictures"
        raise InputError(f"{found}: give a folder of clean pictures, or --pairs BAD TRUTH")
    if args.photos is not None and args.pairs is None:
        raise InputError("--photos goes with --pairs; photos of one person in one folder are --reference-pairs")
    if args.pairs is not None:
        bad, truth = args.pairs
        return PairFolders(bad, truth, args.photos), f"{bad.name} against {truth.name}"
    people = f"every {args.hold_out}th person, held out in training, " if args.hold_out else ""
    title = f"{args.pictures.name}, {people}{args.degradation} (seed {args.seed}), {args.size} px"
    if args.pictures.suffix in INDEX_SUFFIXES:
        return indexed_cases(args, args.pictures), title
    return clean_folder(args, args.pictures), title


def _names(args: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(args.systems.split(",")))


def _restore(args: argparse.Namespace) -> int:
    """Quality and time of systems on the same bad pictures, against the true ones."""
    from ...benchmark.comparing.system_names import make_systems
    from ...benchmark.measuring.system_costs import usage_table

    cases, title = _cases(args)
    names, host = _names(args), make_host(args)
    judging = judges(args, host)
    systems = make_systems(names, host, judging.likeness.analyzer if judging.likeness else None)
    peer = args.peer or (USUAL_PEER if USUAL_PEER in names else names[0])
    if peer not in names:
        raise InputError(f"--peer {peer} is none of the systems: choose one of {', '.join(names)}")
    outcome = measure_and_report(args, cases, systems, judging, title, peer)
    if args.memory:
        finish(args.output, "memory.md", usage_table(names, host, args.size))
    return named(outcome.failures, args.output)


def _sheets(args: argparse.Namespace) -> int:
    """Contact sheets at full size: given, restored by each system, true; all faces in one, and each picture."""
    from ...benchmark.comparing.evaluate import Judges, evaluate
    from ...benchmark.comparing.system_names import make_systems
    from ...benchmark.metrics.all_metrics import Metrics
    from ...benchmark.recognising.likeness import Likeness
    from ...benchmark.reporting.contact_sheets import contact_sheet, stacked
    from ...faces.registry import load_face_analyzer

    cases, _ = _cases(args)
    host = make_host(args)
    analyzer = None if args.analyzer == "none" else load_face_analyzer(args.analyzer, host)
    systems = make_systems(_names(args), host, analyzer)
    judging = Judges(Metrics(), None if analyzer is None else Likeness(analyzer, ()))
    outcome = evaluate(cases, systems, judging, len(cases.files()), quiet=args.quiet)
    for name, sheet in outcome.sheets.items():
        contact_sheet(sheet.pictures).save(args.output / f"{name}.png")
    if outcome.sheets:
        stacked([sheet.face() for sheet in outcome.sheets.values()]).save(args.output / "faces.png")
    return named(outcome.failures, args.output)
