"""Identities of people: encode photos, compare, calibrate a recogniser, fit to a model."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from ...errors import HeadsUpError, InputError
from ...faces.analyzer import AnalyzerBase
from ...identity.encoding import IdentityEncoder, encode_identity, encode_people
from ...identity.identity import Identity
from ...identity.identity_file import SUFFIX, load_identity, save_identities
from ...identity.names import readable, shortened
from ...identity.similarity import MeasuredMeans, compare, measure
from ...image_files import picture_files, read_picture
from ..hosting import add_host_arguments, check_folder, make_host
from .analyzing import add_analyzer_arguments, detection_options, make_analyzer
from .fitting import add_fit_arguments

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    encode = actions.add_parser("encode", help="photos of one person -> an identity file")
    encode.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photos, or folders of photos")
    encode.add_argument("--name", action="append", required=True, help="of the person; several with --everybody")
    encode.add_argument("--everybody", action="store_true", help="one photo, each face a person, from left to right")
    encode.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the identity files")
    compared = actions.add_parser("compare", help="two photos or identity files -> how alike")
    compared.add_argument("a", type=Path, help="photo or identity file")
    compared.add_argument("b", type=Path, help="photo or identity file")
    compared.add_argument("--json", action="store_true", help="as JSON")
    calibrated = actions.add_parser(
        "calibrate", help="mean similarity within and between people, for the calibrated scale"
    )
    calibrated.add_argument("folder", type=Path, help="clean photos called PERSON_anything, two or more of each")
    add_fit_arguments(actions.add_parser("fit", help="photos or an identity file and a model -> fitted to that model"))
    for action, run_action in ((encode, _encode), (compared, _compare), (calibrated, _calibrate)):
        add_analyzer_arguments(action)
        add_host_arguments(action)
        action.set_defaults(run_action=run_action)


def run(args: argparse.Namespace) -> int:
    return args.run_action(args)


def _encode(args: argparse.Namespace) -> int:
    """Write the identities; photos that cannot be read or used are named. Status 2 when a photo could not be read."""
    options = detection_options(args)
    check_folder(args.output)
    analyzer = make_analyzer(args, make_host(args))
    paths = picture_files(args.photos)
    failed: list[str] = []
    if args.everybody:
        if len(paths) > 1:
            raise InputError(f"--everybody takes one photo with several people, not {len(paths)}")
        people = encode_people(read_picture(paths[0]).rgb, analyzer, args.name, options)
    elif len(args.name) > 1:
        raise InputError(f"{len(args.name)} names for one person: give one --name, or --everybody")
    else:
        encoder = IdentityEncoder(analyzer, args.name[0], options)
        failed = _add_all(encoder, paths, quiet=args.quiet)
        if len(failed) == len(paths):
            raise InputError("no photo could be read:\n" + "\n".join(failed))
        people = [encoder.identity()]
    for identity, path in zip(people, save_identities(args.output, people), strict=True):
        lines = [f"{identity.name}: {path}", *(f"  {photo}" for photo in identity.photos)]
        sys.stdout.write("\n".join(lines) + "\n")
    if failed:
        raise InputError(f"{len(failed)} photos could not be read, the others were used:\n" + "\n".join(failed))
    return 0


def _add_all(encoder: IdentityEncoder, paths: Sequence[Path], *, quiet: bool) -> list[str]:
    """Read and encode photos one by one; what cannot be read comes back as lines."""
    failed: list[str] = []
    for path in tqdm(paths, desc="photos", disable=True if quiet else None, leave=False):
        try:
            picture = read_picture(path).rgb
        except HeadsUpError as error:
            failed.append(str(error))
            continue
        encoder.add(picture, readable(str(path)))
    return failed


def _compare(args: argparse.Namespace) -> int:
    analyzer = make_analyzer(args, make_host(args))
    sides = [_identity_of(path, analyzer, args) for path in (args.a, args.b)]
    a, b = (side.embedding_for(analyzer) for side in sides)
    similarity = compare(a, b, analyzer.embedder_id)
    sys.stdout.write((json.dumps(asdict(similarity)) if args.json else str(similarity)) + "\n")
    return 0


def _identity_of(path: Path, analyzer: AnalyzerBase, args: argparse.Namespace) -> Identity:
    if path.suffix == SUFFIX:
        return load_identity(path)
    photo, label = read_picture(path).rgb, readable(str(path))
    identity = encode_identity([photo], analyzer, shortened(path.stem), [label], detection_options(args))
    for known in identity.photos:
        if known.surprising:
            log.info("%s", known)
    return identity


def _calibrate(args: argparse.Namespace) -> int:
    from ...training.data.people_by_name import person_of

    analyzer = make_analyzer(args, make_host(args))
    options = detection_options(args)
    people: dict[str, list[torch.Tensor]] = {}
    for path in tqdm(picture_files([args.folder]), disable=True if args.quiet else None, leave=False):
        image = read_picture(path).rgb
        embedded = analyzer.embed(image, analyzer.detect(image, options))[0]
        if embedded and embedded[0].embedding is not None:
            people.setdefault(person_of(path), []).append(embedded[0].embedding)
        else:
            log.info("%s: no face", path)
    sys.stdout.write(describe_means(measure(list(people.values())), analyzer.embedder_id) + "\n")
    return 0


def describe_means(means: MeasuredMeans, embedder_id: str) -> str:
    """The figures in words."""
    return (
        f"{embedder_id}: {means.people} people; mean cosine of the same person {means.same:.4f} "
        f"({means.same_pairs} pairs), of different people {means.different:.4f} ({means.different_pairs} pairs)\n"
        f"at the thresholds: {means.false_accept:.2%} of different pairs called the same person, "
        f"{means.false_reject:.2%} of same pairs called different people, "
        f"{means.unsure[0]:.2%} of same and {means.unsure[1]:.2%} of different pairs unsure"
    )
