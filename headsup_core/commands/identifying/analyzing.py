"""The options of every command that looks for faces."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from ...errors import InputError
from ...faces.analyzer import AnalyzerBase, DetectionOptions
from ...faces.registry import BACKENDS, DEFAULT_ANALYZER, load_face_analyzer
from ...host import Host

log = logging.getLogger(__name__)


def add_analyzer_arguments(parser: argparse.ArgumentParser) -> None:
    """--analyzer, --analyzer-option, --min-score, --min-eye-distance, --max-faces."""
    names = "; ".join(f"{name}: {backend.licence}" for name, backend in BACKENDS.items())
    parser.add_argument(
        "--analyzer", choices=tuple(BACKENDS), default=DEFAULT_ANALYZER, help=f"default {DEFAULT_ANALYZER}; {names}"
    )
    parser.add_argument(
        "--analyzer-option", action="append", default=[], metavar="NAME=VALUE", help="as pack=antelopev2 (insightface)"
    )
    defaults = DetectionOptions()
    parser.add_argument("--min-score", type=float, default=defaults.min_score, help="least confidence, 0..1")
    parser.add_argument(
        "--min-eye-distance",
        type=float,
        default=defaults.min_eye_distance,
        metavar="X",
        help="pixels; smaller faces are left out (default 0: 5 px up to 600x600, more in larger pictures, 29 px at 12 "
        "megapixels, since the search would take long)",
    )
    parser.add_argument("--max-faces", type=int, default=0, help="the largest are kept (default 0: all)")


def add_faces_argument(parser: argparse.ArgumentParser) -> None:
    """--faces (the default) and --no-faces."""
    parser.add_argument(
        "--faces",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look for faces, around which tiles are planned; of sizes that the model does not know they get their own",
    )


def analyzer_if_there(args: argparse.Namespace, host: Host) -> AnalyzerBase | None:
    """As `make_analyzer`; None, and said, when the default one's library is missing and nobody chose it."""
    try:
        return make_analyzer(args, host)
    except InputError as error:
        if args.analyzer != DEFAULT_ANALYZER or args.analyzer_option:
            raise
        log.warning("no faces are looked for: %s", error)
        return None


def make_analyzer(args: argparse.Namespace, host: Host) -> AnalyzerBase:
    """The analyzer those options describe. Raises as `load_face_analyzer`."""
    pairs = [option.partition("=") for option in args.analyzer_option]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"--analyzer-option {wrong[0]}: expected NAME=VALUE")
    options: dict[str, Any] = {name: value for name, _, value in pairs}
    return load_face_analyzer(args.analyzer, host, **options)


def detection_options(args: argparse.Namespace) -> DetectionOptions:
    """Raises `InputError` when one is out of range."""
    return DetectionOptions(args.min_score, args.min_eye_distance, args.max_faces)

