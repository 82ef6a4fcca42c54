"""Find the faces in folders of photos and who is the same person: an index that training draws reference pairs from."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ...bulk.addresses import path_or_url
from ...errors import HeadsUpError, InputError
from ...faces.analyzer import AnalyzerBase, DetectionOptions
from ...image_files import pictures_in, read_picture
from ..hosting import add_host_arguments, check_folder, make_host
from ..identifying.analyzing import add_analyzer_arguments, detection_options, make_analyzer
from .data_set_builder import OF_A_FOLDER, add_builder_arguments, build_folder, merge_folders

if TYPE_CHECKING:
    from ...training.data.face_index import IndexedPicture

log = logging.getLogger(__name__)

OF_AN_INDEX = ("min_score", "min_eye_distance", "max_faces")
"""Options of `dataset build` that only an index as output uses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    build = actions.add_parser("build", help="folders of photos -> an index for `train`")
    build.add_argument(
        "folders",
        nargs="+",
        type=path_or_url,
        metavar="FOLDER",
        help="folders of photos, or photos; for a data set also lists of paths (.txt), shards (.tar, .parquet), URLs",
    )
    build.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the data set: photos that are large and good enough, people, a test split, a report; or "
        "INDEX.json for an index of all photos of a small collection, whatever they are",
    )
    _add_pair_arguments(build)
    add_builder_arguments(build)
    add_analyzer_arguments(build)
    add_host_arguments(build)
    build.set_defaults(run_action=partial(_build, build))
    merge = actions.add_parser("merge", help="data sets -> one, with the people of all of them")
    merge.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders that `dataset build` made")
    merge.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the new data set")
    merge.add_argument("--test-share", type=float, default=0.1, metavar="X", help="of the people (default 0.1)")
    _add_pair_arguments(merge)
    merge.set_defaults(run_action=merge_folders)


def run(args: argparse.Namespace) -> int:
    from ...training.data.face_index import THRESHOLDS

    if args.threshold is None:
        args.threshold = THRESHOLDS[args.scale]
    return args.run_action(args)


def _add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="least similarity of two photos of one person (default 0.8 on the calibrated scale, 0.65 as a cosine)",
    )
    parser.add_argument(
        "--scale",
        choices=("calibrated", "cosine"),
        default="calibrated",
        help="of the threshold: calibrated (0 strangers, 1 two good photos of one person) or the raw cosine",
    )
    parser.add_argument("--partners", type=int, default=20, help="most pairs of one face (default 20)")


def _build(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """Write the index; photos that cannot be read are named and left out. Status 2 when there were any."""
    from ...training.data.face_index import SUFFIX, FaceIndex, mine_pairs, write_index

    if args.output.suffix != SUFFIX:
        if args.output.suffix:
            raise InputError(f"--output {args.output}: give a folder, or a {SUFFIX} file for an index of all photos")
        _refuse(parser, args, OF_AN_INDEX, f"an index (--output INDEX{SUFFIX}): a folder's faces have --eye-distance")
        return build_folder(args)
    _refuse(parser, args, OF_A_FOLDER, "a data set: give a folder as --output")
    if args.partners < 1:
        raise InputError(f"--partners {args.partners}: must be at least 1")
    options = detection_options(args)
    files = list(dict.fromkeys(file for given in args.folders for file in _photos_of(Path(given))))
    check_folder(args.output.parent)
    analyzer = make_analyzer(args, make_host(args))
    found: list[IndexedPicture] = []
    failed: list[str] = []
    for path in tqdm(files, unit="photo", disable=args.quiet or None):
        try:
            found.append(_index_picture(path, analyzer, options))
        except HeadsUpError as error:
            failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    if not found:
        raise InputError(f"none of {len(files)} photos can be used: {failed[0] if failed else 'there are none'}")
    pairs = mine_pairs(found, analyzer.embedder_id, args.threshold, args.scale, args.partners)
    index = FaceIndex(tuple(found), pairs, analyzer.embedder_id, args.threshold, args.scale)
    write_index(args.output, index)
    faces = sum(len(one.faces) for one in found)
    paired = len(index.others())
    log.info(
        "%d photos, %d faces, %d pairs; %d faces have a partner: %s", len(found), faces, len(pairs), paired, args.output
    )
    for reason in failed:
        log.warning("left out: %s", reason)
    return 2 if failed else 0


def _refuse(parser: argparse.ArgumentParser, args: argparse.Namespace, names: Sequence[str], of: str) -> None:
    """Raises `InputError` when an option was given that does nothing here."""
    for name in names:
        if (value := getattr(args, name)) != parser.get_default(name):
            raise InputError(f"--{name.replace('_', '-')} {value} is of {of}")


def _photos_of(given: Path) -> list[Path]:
    """Those of a folder and of the folders in it, as a data set has them; a photo itself."""
    return pictures_in(given, recursive=True) if given.is_dir() else [given]


def _index_picture(path: Path, analyzer: AnalyzerBase, options: DetectionOptions) -> IndexedPicture:
    from ...training.data.face_index import IndexedPicture

    image = read_picture(path).rgb
    faces = analyzer.embed(image, analyzer.detect(image, options))
    return IndexedPicture(path, image.shape[-1], image.shape[-2], faces[0])
