"""The options that name people who may be in the pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..faces.analyzer import AnalyzerBase
from ..identity.encoding import encode_identity
from ..identity.identity import Identity
from ..identity.identity_file import load_identity
from ..image_files import picture_files, read_picture
from ..restoring.headsup_model import HeadsUpModel
from ..restoring.people.gate import GATE_MODES
from .analyzing import detection_options


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """--reference, --identity, --match-threshold, --identity-strength, --identity-gate."""
    parser.add_argument(
        "--reference",
        nargs="+",
        type=Path,
        default=[],
        metavar="PHOTO",
        help="photos of people who may be in the pictures, one person each; a folder holds photos of one person",
    )
    parser.add_argument("--identity", nargs="+", type=Path, default=[], metavar="FILE", help="identity files of people")
    parser.add_argument(
        "--match-threshold", type=float, metavar="X", help="least similarity of a face and a person, 0..1 (default 0.4)"
    )
    parser.add_argument(
        "--identity-strength", type=float, default=1.0, metavar="X", help="how much of a reference counts, 0 .. 1"
    )
    parser.add_argument(
        "--identity-gate",
        choices=GATE_MODES,
        default=GATE_MODES[0],
        help="on (default): faces that are no longer like their person or themselves fall back; report: score only",
    )


def names_people(args: argparse.Namespace) -> bool:
    """Whether those options name anybody."""
    return bool(args.reference or args.identity)


def with_people(model: HeadsUpModel, args: argparse.Namespace, analyzer: AnalyzerBase) -> HeadsUpModel:
    """The model with the people of those options; each is called as the file or folder.

    Raises:
        InputError: a photo without a face, two people of one name, or a strength or threshold out of range.
    """
    people = [_from_photos(path, args, analyzer) for path in args.reference]
    people += [load_identity(path) for path in args.identity]
    return model.with_identities(people, args.identity_strength, args.match_threshold)


def _from_photos(path: Path, args: argparse.Namespace, analyzer: AnalyzerBase) -> Identity:
    files = picture_files([path])
    pictures = [read_picture(file).rgb for file in files]
    name = path.resolve().name if path.is_dir() else path.stem
    try:
        return encode_identity(pictures, analyzer, name, [file.name for file in files], detection_options(args))
    except InputError as error:
        raise InputError(f"--reference {path}: {error}") from error
