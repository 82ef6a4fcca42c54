"""The options that name people who may be in the pictures."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ...faces.analyzer import AnalyzerBase
from ...identity.encoding import encode_identity
from ...identity.identity import Identity
from ...identity.identity_file import SUFFIX, load_identity
from ...identity.names import readable, shortened, told_apart, written
from ...image_files import picture_files, read_picture
from ...restoring.headsup_model import IDENTITY_STRENGTH, HeadsUpModel
from .analyzing import detection_options

log = logging.getLogger(__name__)


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """--reference, --identity, --person, --match-threshold, --identity-strength."""
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
        "--person",
        action="append",
        default=[],
        metavar="INDEX=NAME",
        help="whose a face is, by its index (0 is the largest) and the name of a photo, folder or identity, or nobody; "
        "in each picture that has such a face; repeat it for several. Told so, a photo is used unless it clearly is of "
        "somebody else",
    )
    parser.add_argument(
        "--match-threshold", type=float, metavar="X", help="least similarity of a face and a person, 0..1 (default 0.4)"
    )
    parser.add_argument(
        "--identity-strength",
        type=float,
        default=IDENTITY_STRENGTH,
        metavar="X",
        help=f"how much of a reference counts, 0 .. 1 (default {IDENTITY_STRENGTH:g})",
    )


def names_people(args: argparse.Namespace) -> bool:
    """Whether those options name anybody."""
    return bool(args.reference or args.identity)


def with_people(model: HeadsUpModel, args: argparse.Namespace, analyzer: AnalyzerBase) -> HeadsUpModel:
    """The model with the people of those options, whom `people_of` tells of.

    Raises:
        InputError: a photo without a face, or a strength or threshold out of range.
    """
    return model.with_identities(people_of(args, analyzer), args.identity_strength, args.match_threshold)


def people_of(args: argparse.Namespace, analyzer: AnalyzerBase) -> list[Identity]:
    """Each person of those options, called as the file or folder, or as the identity file says.

    Of people who would have one name (IMG_0001.jpg of two folders) each is called by folder and name, or gets a number,
    and the log says so; a path that is given twice is one person. Photos that are left out are named in the log.

    Raises:
        InputError: a photo without a face.
    """
    references, files = (_once(paths) for paths in (args.reference, args.identity))
    names = _names(references)
    people = [_from_photos(path, name, args, analyzer) for path, name in zip(references, names, strict=True)]
    people += [load_identity(path) for path in files]
    apart = told_apart([person.name for person in people])
    for person, name, path in zip(people, apart, (*references, *files), strict=True):
        if name != person.name:
            log.info("%s: there is a %s already, so this person is called %s", readable(str(path)), person.name, name)
    return [replace(person, name=name) for person, name in zip(people, apart, strict=True)]


def _once(paths: Sequence[Path]) -> list[Path]:
    return list({os.path.realpath(path): path for path in paths}.values())


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each, with the folder's before it where files of several folders are called the same."""
    plain = [written(os.path.basename(os.path.realpath(path)) if os.path.isdir(path) else path.stem) for path in paths]
    return [
        shortened(f"{Path(os.path.realpath(path)).parent.name}/{name}" if plain.count(name) > 1 else name)
        for path, name in zip(paths, plain, strict=True)
    ]


def _from_photos(path: Path, name: str, args: argparse.Namespace, analyzer: AnalyzerBase) -> Identity:
    if path.suffix == SUFFIX:
        raise InputError(f"--reference {readable(str(path))} is no photo: an identity file is given as --identity")
    files = picture_files([path])
    pictures = [read_picture(file).rgb for file in files]
    labels = [readable(file.name) for file in files]
    try:
        identity = encode_identity(pictures, analyzer, name, labels, detection_options(args))
    except InputError as error:
        raise InputError(f"--reference {readable(str(path))}: {error}") from error
    for photo in identity.photos:
        if photo.surprising:
            log.info("--reference %s: %s", readable(str(path)), photo)
    return identity
