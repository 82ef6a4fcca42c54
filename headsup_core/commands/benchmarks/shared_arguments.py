"""The options that several subcommands of `benchmark` have in common, each written once."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...benchmark.metrics.all_metrics import METRICS
from ...errors import InputError
from ...faces.registry import BACKENDS, DEFAULT_ANALYZER
from ..hosting import add_host_arguments, check_folder

if TYPE_CHECKING:
    from ...benchmark.comparing.cases import Cases, CleanFolder
    from ...benchmark.comparing.contestants import System
    from ...benchmark.comparing.evaluate import Judges, Outcome
    from ...benchmark.comparing.indexed_cases import IndexedCases
    from ...benchmark.recognising.likeness import Likeness
    from ...host import Host

log = logging.getLogger(__name__)

Subcommands = Any
"""What `ArgumentParser.add_subparsers` returns; argparse does not publish its type."""


def add_subcommand(
    subcommands: Subcommands, name: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """A subcommand that is described by the docstring of `run`, with --output and the host's options."""
    words = (run.__doc__ or "").strip()
    parser: argparse.ArgumentParser = subcommands.add_parser(name, help=words.partition("\n")[0], description=words)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the tables")
    add_host_arguments(parser)

    def checked(args: argparse.Namespace) -> int:
        _check_apart(args)
        check_folder(args.output)
        return run(args)

    parser.set_defaults(run_benchmark=checked)
    return parser


def _check_apart(args: argparse.Namespace) -> None:
    """Raises `InputError` when --output is a folder of the given pictures, which contact sheets have the names of."""
    for name, value in vars(args).items():
        read = [] if name in {"output", "cache"} else value if isinstance(value, list) else [value]
        if any(isinstance(path, Path) and os.path.realpath(path) == os.path.realpath(args.output) for path in read):
            raise InputError(f"output folder {args.output} is read from, too: choose another --output")


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """--hold-out, --people, --one-each, --limit, --seed: which pictures of a folder."""
    parser.add_argument("--hold-out", type=int, default=0, metavar="N", help="every N-th person only, as in training")
    parser.add_argument("--people", type=int, metavar="N", help="at most so many people, evenly spread")
    parser.add_argument("--one-each", action="store_true", help="the first picture of each person only")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many pictures, evenly spread")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation, beside the file's name")


def add_cases_arguments(parser: argparse.ArgumentParser) -> None:
    """--degradation, --size, --reference-pairs, and those of `add_selection_arguments`."""
    parser.add_argument("--degradation", default="realesrgan", help="realesrgan, x4-mild, x8 ...")
    parser.add_argument("--size", type=int, default=512, help="longer side of the clean pictures")
    parser.add_argument(
        "--reference-pairs",
        action="store_true",
        help="people with several pictures (PERSON_anything, or as an index says) only; each in turn, another one as "
        "its reference",
    )
    add_selection_arguments(parser)


def clean_folder(args: argparse.Namespace, folder: Path) -> CleanFolder:
    """The pictures that `add_cases_arguments` describes."""
    from ...benchmark.comparing.cases import CleanFolder

    return CleanFolder(folder, **_selection(args))


def indexed_cases(args: argparse.Namespace, index: Path) -> IndexedCases:
    """The same of an index of faces."""
    from ...benchmark.comparing.indexed_cases import IndexedCases

    return IndexedCases(index, **_selection(args))


def _selection(args: argparse.Namespace) -> dict[str, Any]:
    """`DegradedPictures`' fields but the place."""
    same = ("degradation", "size", "hold_out", "limit", "seed", "people", "one_each")
    return {**{name: getattr(args, name) for name in same}, "pairs": args.reference_pairs}


def add_analyzer_argument(parser: argparse.ArgumentParser) -> None:
    """--analyzer."""
    parser.add_argument(
        "--analyzer",
        choices=(*BACKENDS, "none"),
        default=DEFAULT_ANALYZER,
        help=f"finds and recognises faces (default {DEFAULT_ANALYZER}); none: figures of the whole picture only",
    )


def add_judge_arguments(parser: argparse.ArgumentParser) -> None:
    """--analyzer, --recogniser, --trained-against, --face-detector, --also, and the files of the metrics."""
    add_analyzer_argument(parser)
    parser.add_argument(
        "--recogniser",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="one more recogniser: MobileFaceNet's weights, or .onnx as InsightFace's; repeat it for several",
    )
    parser.add_argument(
        "--trained-against",
        metavar="NAMES",
        help="comma-separated: files (less their endings) and analyzers whose recogniser the measured model's identity "
        "loss used, so that it is no judge; in the place of the default: every file that is no .onnx, since "
        "headsup-tiny was trained with MobileFaceNet",
    )
    parser.add_argument("--face-detector", type=Path, metavar="ONNX", help="YuNet, for where the face region is")
    named = [metric.name for metric in METRICS if metric.only_when_named]
    parser.add_argument("--also", default="", metavar="NAMES", help=f"comma-separated, by pyiqa: {', '.join(named)}")
    for metric in METRICS:
        if metric.file is not None:
            flag, metavar, words = metric.file.flag, metric.file.metavar, metric.file.help
            parser.add_argument(flag, type=Path, metavar=metavar, help=words, dest=_destination(metric.name))


def _destination(metric: str) -> str:
    return f"file_of_{metric}"


def judges(args: argparse.Namespace, host: Host) -> Judges:
    """What measures. Raises `InputError` or `ModelFileError` when a file or a library is missing."""
    from ...benchmark.comparing.evaluate import Judges
    from ...benchmark.metrics.all_metrics import Metrics
    from ...benchmark.recognising.face_region import FaceRegion

    region = FaceRegion(args.face_detector) if args.face_detector else None
    also = [name.strip() for name in args.also.split(",") if name.strip()]
    return Judges(Metrics.made(_metric_files(args), also), _likeness(args, host), region)


def _metric_files(args: argparse.Namespace) -> dict[str, Path | None]:
    return {metric.name: getattr(args, _destination(metric.name)) for metric in METRICS if metric.file is not None}


def _likeness(args: argparse.Namespace, host: Host) -> Likeness | None:
    from ...benchmark.recognising.likeness import Likeness
    from ...benchmark.recognising.recognisers import AnalyzersRecogniser, NetworkRecogniser, Recogniser
    from ...faces.registry import load_face_analyzer

    if args.analyzer == "none":
        return None
    analyzer = load_face_analyzer(args.analyzer, host)
    names = [analyzer.name] * bool(analyzer.embedder_id) + [path.stem for path in args.recogniser]
    told = _trained_against(args.trained_against, names, args.recogniser)
    recognisers: list[Recogniser] = []
    if analyzer.embedder_id:
        recognisers.append(AnalyzersRecogniser(analyzer, trained_against=analyzer.name in told))
    recognisers += [NetworkRecogniser.from_file(path, trained_against=path.stem in told) for path in args.recogniser]
    return Likeness(analyzer, recognisers)


def _trained_against(told: str | None, names: Sequence[str], files: Sequence[Path]) -> set[str]:
    """Which of the recognisers `names` are no judges. Raises `InputError` for two of one name, or one unknown."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--recogniser: two are called {twice}, rename a file")
    if told is None:
        return {path.stem for path in files if path.suffix.lower() != ".onnx"}
    chosen = {name.strip() for name in told.split(",")} - {""}
    if unknown := sorted(chosen - set(names)):
        raise InputError(f"--trained-against {unknown[0]}: the recognisers are {', '.join(names) or 'none'}")
    return chosen


def judging_files(args: argparse.Namespace) -> Sequence[Path | None]:
    """The files that the figures depend on."""
    return (*args.recogniser, args.face_detector, *_metric_files(args).values())


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """--sheets, --slices."""
    parser.add_argument("--sheets", type=int, default=4, metavar="N", help="so many cases as contact sheets")
    parser.add_argument(
        "--slices",
        type=Path,
        metavar="CSV",
        help="of the people: a person in the first column, in the others age, skin tone ...; figures of each group",
    )


def measure_and_report(
    args: argparse.Namespace,
    cases: Cases,
    systems: Sequence[System],
    judging: Judges,
    title: str,
    peer: str,
) -> Outcome:
    """Measure, and write the report into --output. Raises `InputError` when nothing could be measured."""
    from ...benchmark.comparing.evaluate import evaluate
    from ...benchmark.comparing.provenance import provenance
    from ...benchmark.reporting.report_files import write_report

    outcome = evaluate(cases, systems, judging, args.sheets, quiet=args.quiet)
    if not outcome.records:
        raise InputError("nothing could be measured:\n" + "\n".join(outcome.failures))
    made = provenance(cases, systems, judging_files(args))
    log.info("%s", write_report(args.output, title, outcome, peer, made, slices=args.slices))
    return outcome


def named(failures: Sequence[str], folder: Path) -> int:
    """0. Raises `InputError` that names the failures when there are any."""
    if failures:
        raise InputError(f"{len(failures)} measurements failed, the others are in {folder}:\n" + "\n".join(failures))
    return 0


def finish(folder: Path, name: str, table: str) -> int:
    """Write and show a table."""
    (folder / name).write_text(table)
    log.info("%s", table)
    return 0
