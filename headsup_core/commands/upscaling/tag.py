"""Write what is seen in pictures beside them as tags (photo.txt), by RAM and DAPE from your files."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import HeadsUpError, InputError
from ...identity.names import readable
from ...image_files import pictures_in, read_picture
from ...image_files.sidecars import sidecar_of, write_sidecar
from ...models.loading import find_model_file
from ...models.tagging.tagging_options import TaggingOptions
from ..hosting import add_host_arguments, make_host
from ..option_arguments import add_option_arguments, given_arguments

if TYPE_CHECKING:
    from ...host import Host
    from ...models.tagging.tagger import Tagger

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="pictures, or folders of pictures")
    parser.add_argument("--recursive", action="store_true", help="pictures of the folders in a folder, too")
    parser.add_argument("--replace", action="store_true", help="write over a photo.txt that is there (default: keep)")
    parser.add_argument("--print", dest="only_print", action="store_true", help="write no files, only to stdout")
    parser.add_argument("--json", action="store_true", help="one JSON line per picture on stdout")
    add_tagger_arguments(parser, required=True)
    add_host_arguments(parser)


def add_tagger_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """--model or --tagger, --dape and the options of tagging."""
    flag = "--model" if required else "--tagger"
    parser.add_argument(
        flag, required=required, metavar="RAM", help="ram_swin_large_14m.pth: a file, or its name in models/headsup"
    )
    parser.add_argument("--dape", metavar="DAPE", help="DAPE.pth, for bad pictures: a file, or its name, as the model")
    add_option_arguments(parser, TaggingOptions)


def load_asked_tagger(model: str, dape: str | None, host: Host) -> Tagger:
    """The tagger of those arguments. Raises `ModelFileError` when a file is missing or another model's."""
    from ...models.tagging.tagger import load_tagger

    return load_tagger(find_model_file(model, host), None if dape is None else find_model_file(dape, host))


def run(args: argparse.Namespace) -> int:
    """One line per picture; one that fails is named at the end, the others are done. Status 2 when any failed."""
    options = TaggingOptions(**given_arguments(TaggingOptions, args))
    host = make_host(args)
    files: list[Path] = []
    for given in args.pictures:
        files += pictures_in(given, recursive=args.recursive) if os.path.isdir(given) else [given]
    tagger = load_asked_tagger(args.model, args.dape, host)
    failed: list[str] = []
    kept = 0
    with host.progress(len(files), "pictures") as progress:
        for path in files:
            try:
                kept += not _tag(path, tagger, options, host, args)
            except HeadsUpError as error:
                failed.append(readable(str(error) if str(path) in str(error) else f"{path}: {error}"))
            progress.advance()
    if kept:
        log.info("%d of %d pictures had tags already, which were kept: --replace writes them anew", kept, len(files))
    if failed:
        raise InputError(f"{len(failed)} of {len(files)} pictures failed:\n" + "\n".join(failed))
    return 0


def _tag(path: Path, tagger: Tagger, options: TaggingOptions, host: Host, args: argparse.Namespace) -> bool:
    """Tag a picture, say so and write it; whether there was anything to do."""
    sidecar = sidecar_of(path)
    if not args.only_print and not args.replace and os.path.exists(sidecar):
        return False
    tags = tagger.tags(read_picture(path).rgb, options, host)[0]
    if not args.only_print:
        try:
            write_sidecar(path, tags, replace=args.replace)
        except FileExistsError:  # another run was faster
            return False
    record = {"picture": readable(str(path)), "tags": tags, "tagger": tagger.name}
    sys.stdout.write((json.dumps(record) if args.json else f"{record['picture']}: {tags}") + "\n")
    sys.stdout.flush()
    return True
