"""The options of every command that looks for faces."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from ..faces.analyzer import AnalyzerBase, DetectionOptions
from ..faces.registry import BACKENDS, DEFAULT_ANALYZER, load_face_analyzer
from ..host import Host


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
        "--min-eye-distance", type=float, default=defaults.min_eye_distance, help="pixels; smaller faces are left out"
    )
    parser.add_argument("--max-faces", type=int, default=0, help="the largest are kept (default 0: all)")


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

