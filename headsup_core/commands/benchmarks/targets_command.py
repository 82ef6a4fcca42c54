"""`benchmark targets`: does a model reach its aims?"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ..hosting import make_host
from .shared_arguments import (
    Subcommands,
    add_judge_arguments,
    add_report_arguments,
    add_selection_arguments,
    add_subcommand,
    judges,
    judging_files,
    named,
)

if TYPE_CHECKING:
    from ...benchmark.aiming.targets import Material

log = logging.getLogger(__name__)


def add_subcommands(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "targets", _targets)
    parser.add_argument("model", help="the measured model: a name, a file, or as the systems of `restore`")
    parser.add_argument("--portraits", type=Path, metavar="DIR", help="folder of sharp ones, two photos of each person")
    parser.add_argument("--sizes", default="512,1024", metavar="LIST", help="longer sides of the portraits, px")
    parser.add_argument(
        "--years-apart", type=Path, metavar="DIR", help="folder with two photos of each person, taken years apart"
    )
    parser.add_argument("--without-faces", type=Path, metavar="DIR", help="folder of pictures that are no portraits")
    parser.add_argument("--without-references", action="store_true", help="one photo of each person is enough")
    parser.add_argument("--tasks", default="", metavar="LIST", help="degradations (default: realesrgan,x8,x4-mild)")
    parser.add_argument("--today", default="headsup-tiny", metavar="MODEL", help="the model that it shall replace")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep the results of peers and of --today here")
    parser.add_argument("--without-costs", action="store_true", help="do not measure seconds and memory")
    add_selection_arguments(parser)
    add_judge_arguments(parser)
    add_report_arguments(parser)


def _targets(args: argparse.Namespace) -> int:
    """Does a model reach its aims? All tasks on small and large portraits and on photos taken years apart."""
    from ...benchmark.aiming.targets import COST_SIDE, Targets

    host = make_host(args)
    materials = _materials(args)
    judging = judges(args, host)
    recognisers = judging.likeness.recognisers if judging.likeness else ()
    if all(each.trained_against for each in recognisers):
        raise InputError(
            f"benchmark targets judges identity, but no recogniser is left that was not trained against (face "
            f"analyzer: {args.analyzer}): use --analyzer dlib, or another --recogniser"
        )
    targets = Targets(
        materials,
        args.model,
        args.today,
        host,
        judging,
        judging_files(args),
        cache=args.cache,
        slices=args.slices,
        sheets=args.sheets,
        quiet=args.quiet,
        cost_side=None if args.without_costs else COST_SIDE,
    )
    table, failures = targets.measure(args.output)
    log.info("%s", table)
    return named(failures, args.output)


def _materials(args: argparse.Namespace) -> list[Material]:
    """What is measured. Raises `InputError` when nothing is, or --sizes or --tasks have no such value."""
    from ...benchmark.aiming.targets import Material, faceless
    from ...benchmark.aiming.tasks import SMALL_PORTRAITS, YEARS_APART, portrait_tasks
    from ...benchmark.comparing.cases import CleanFolder

    tasks = args.tasks or ",".join(task.degradation for task in SMALL_PORTRAITS)
    asked = [name.strip() for name in tasks.split(",")]
    known = [task.degradation for task in SMALL_PORTRAITS]
    if unknown := [name for name in asked if name not in known]:
        raise InputError(f"--tasks {unknown[0]}: choose from {', '.join(known)}")
    sizes = args.sizes.split(",")
    if not all(size.strip().isdecimal() for size in sizes):
        raise InputError(f"--sizes {args.sizes!r}: give longer sides in px, for instance 512,1024")

    def cases(folder: Path, size: int, hold_out: int) -> CleanFolder:
        return CleanFolder(
            folder,
            "x8",
            size,
            hold_out,
            args.limit,
            args.seed,
            pairs=not args.without_references,
            people=args.people,
            one_each=args.one_each,
        )

    found: list[Material] = []
    if args.portraits is not None:
        for size in map(int, sizes):
            title = f"{args.portraits.name}, {size} px"
            found.append(Material(title, cases(args.portraits, size, args.hold_out), portrait_tasks(size)))
    if args.years_apart is not None:
        title = f"{args.years_apart.name}, years apart"
        found.append(Material(title, cases(args.years_apart, 512, 0), YEARS_APART))
    if args.without_faces is not None:
        found.append(faceless(args.without_faces, SMALL_PORTRAITS, args.limit))
    if not found:
        raise InputError("nothing to measure: give --portraits, --years-apart or --without-faces")
    chosen = [
        Material(each.title, each.cases, [task for task in each.tasks if task.degradation in asked], each.people)
        for each in found
    ]
    return [each for each in chosen if each.tasks]
