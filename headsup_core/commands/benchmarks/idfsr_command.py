"""`benchmark idfsr`: IDFSR on aligned faces."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ..hosting import make_host
from .shared_arguments import (
    Subcommands,
    add_judge_arguments,
    add_report_arguments,
    add_selection_arguments,
    add_subcommand,
    judges,
    measure_and_report,
    named,
)

MISPLACED = 0.03
"""A quarter of a pixel where the eyes lie 4 px apart."""


def add_subcommands(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "idfsr", _idfsr)
    parser.add_argument("model", help="idfsr-tiny or a file")
    parser.add_argument("pictures", type=Path, help="folder of clean portraits, two of each person")
    parser.add_argument("--degradation", default="idfsr-x8", help="idfsr-x8 (default), idfsr-x16 ...")
    parser.add_argument(
        "--misplaced",
        type=float,
        default=MISPLACED,
        metavar="X",
        help=f"how wrongly the faces are cut out, as a bad picture's are (default {MISPLACED}: radians, share of the "
        "scale, halves of the side); 0: by the clean picture's landmarks",
    )
    add_selection_arguments(parser)
    add_judge_arguments(parser)
    add_report_arguments(parser)


def _idfsr(args: argparse.Namespace) -> int:
    """IDFSR on aligned faces: with the person's photo, a stranger's, and without each condition."""
    from ...benchmark.comparing.aligned_faces import AlignedFaces
    from ...benchmark.reporting.contact_sheets import stacked
    from ...idfsr.conditioning import aligned_face
    from ...idfsr.idfsr_benchmark import idfsr_systems
    from ...idfsr.idfsr_file import find_idfsr_file, load_idfsr

    host, file = make_host(args), find_idfsr_file(args.model)
    model = load_idfsr(file)
    judging = judges(args, host)
    likeness = judging.likeness
    if likeness is None:
        raise InputError("benchmark idfsr needs a face analyzer, which finds the faces and recognises the people")
    size = model.architecture.size
    cases = AlignedFaces(
        args.pictures,
        args.degradation,
        size,
        args.hold_out,
        args.limit,
        args.seed,
        pairs=True,
        people=args.people,
        one_each=args.one_each,
        analyzer=likeness.analyzer,
        misplaced=args.misplaced,
    )
    judging = replace(judging, likeness=replace(likeness, placed=aligned_face(size)), region=None)
    systems = idfsr_systems(model, file, host, likeness.analyzer)
    title = f"{args.pictures.name}, aligned faces of {size} px, {args.degradation} (seed {args.seed}), {file.stem}"
    outcome = measure_and_report(args, cases, systems, judging, title, "bicubic")
    if outcome.sheets:
        rows = [sheet.face() for sheet in outcome.sheets.values()]
        stacked(rows, max(1, 128 // size)).save(args.output / "people.png")
    return named(outcome.failures, args.output)
