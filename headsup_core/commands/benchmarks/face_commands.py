"""`benchmark faces` and `benchmark assignment`: how well face analyzers find and recognise."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..hosting import make_host
from .shared_arguments import Subcommands, add_selection_arguments, add_subcommand, finish

if TYPE_CHECKING:
    from ...benchmark.comparing.cases import CleanFolder
    from ...faces.analyzer import FaceAnalyzer


def add_subcommands(subcommands: Subcommands) -> None:
    faces = add_subcommand(subcommands, "faces", _faces)
    faces.add_argument("pictures", type=Path, help="folder of clean portraits, one person in each")
    _add_analyzers(faces)
    faces.add_argument(
        "--without-faces", nargs="+", type=Path, default=[], metavar="DIR", help="folders in which every find is false"
    )
    assignment = add_subcommand(subcommands, "assignment", _assignment)
    assignment.add_argument("pictures", type=Path, help="folder of clean portraits, two of each person")
    _add_analyzers(assignment)


def _add_analyzers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--analyzers", default="dlib", metavar="NAMES", help="comma-separated (default dlib)")
    parser.add_argument("--size", type=int, default=512, help="longer side of the clean pictures")
    add_selection_arguments(parser)


def _analyzers(args: argparse.Namespace) -> Sequence[FaceAnalyzer]:
    from ...faces.registry import load_face_analyzer

    host = make_host(args)
    return [load_face_analyzer(name, host) for name in args.analyzers.split(",")]


def _people(args: argparse.Namespace) -> CleanFolder:
    """The clean pictures; each table degrades them in its own ways."""
    from ...benchmark.comparing.cases import CleanFolder

    selected = {"people": args.people, "one_each": args.one_each}
    return CleanFolder(args.pictures, "realesrgan", args.size, args.hold_out, args.limit, args.seed, **selected)


def _faces(args: argparse.Namespace) -> int:
    """How many faces of degraded portraits analyzers find, how exactly, and what they take for one."""
    from ...benchmark.recognising.face_detection import detection_table

    table = detection_table(_people(args), args.without_faces, _analyzers(args))
    return finish(args.output, "faces.md", table)


def _assignment(args: argparse.Namespace) -> int:
    """How often analyzers recognise degraded people among several."""
    from ...benchmark.recognising.recognition_rates import assignment_table

    return finish(args.output, "assignment.md", assignment_table(_people(args), _analyzers(args)))
