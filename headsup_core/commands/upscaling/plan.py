"""Say what an upscale will be before it runs: sizes, tiles, UNet calls, peak memory and time."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ...errors import HeadsUpError, InputError
from ...identity.names import readable
from ...image_files import Manner, picture_files, read_picture, write_picture
from ...restoring.options import RestoreOptions
from ...restoring.plan.measure import calibration
from ...restoring.plan.plan_drawing import draw_plan
from ...restoring.plan.upscale_plan import plan_upscale
from ...restoring.session import Session
from ..hosting import add_host_arguments, check_folder, make_host
from ..identifying.analyzing import add_analyzer_arguments, add_faces_argument, analyzer_if_there, detection_options
from ..option_arguments import add_option_arguments, given_arguments
from .batch import plan_jobs
from .records import KEY, source_record
from .restoring import add_model_arguments, load_asked_model

PLANNED = ("scale", "long_edge", "max_megapixels", "tile", "overlap", "tile_batch", "color_fix", "sizing")
"""The options that decide sizes, tiles and memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="pictures, or folders of pictures")
    parser.add_argument("--output", type=Path, metavar="DIR", help="also draw the tiles over each picture (.png)")
    add_model_arguments(parser)
    add_option_arguments(parser, RestoreOptions, PLANNED)
    parser.add_argument("--no-calibration", action="store_true", help="measure nothing: use what was measured before")
    parser.add_argument("--json", action="store_true", help="one JSON line per picture on stdout")
    add_faces_argument(parser)
    add_analyzer_arguments(parser)
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Plan each picture; one that cannot be is named at the end. Status 2 when any could not."""
    options = RestoreOptions(**given_arguments(RestoreOptions, args))
    host = make_host(args)
    drawings: dict[Path, Path] = {}
    if args.output is not None:
        check_folder(args.output)
        drawings = {job.source: job.target for job in plan_jobs(args.pictures, args.output, ending="_plan.png")}
    pictures = list(drawings or dict.fromkeys(picture_files(args.pictures)))
    session = Session(load_asked_model(args, host), options, host)
    costs = calibration(session.one_step, host, measure=not args.no_calibration)
    analyzer = analyzer_if_there(args, host) if args.faces and options.sizing == "pad" else None
    failed: list[str] = []
    for source in pictures:
        try:
            rgb = read_picture(source).rgb
            faces = None if analyzer is None else analyzer.detect(rgb, detection_options(args))
            shape = (1, rgb.shape[-2], rgb.shape[-1])
            plan = plan_upscale(shape, session, faces, costs)
            if args.json:
                sys.stdout.write(json.dumps({"input": str(source), **plan.to_json()}) + "\n")
            else:
                sys.stdout.write(f"{readable(str(source))}\n{plan.text()}\n")
            if source in drawings:
                record = {KEY: json.dumps(source_record(source))}
                write_picture(drawings[source], draw_plan(rgb, plan), manner=Manner(text=record))
        except HeadsUpError as error:
            failed.append(f"{source}: {error}" if str(source) not in str(error) else str(error))
    if failed:
        raise InputError(f"{len(failed)} of {len(pictures)} pictures failed:\n" + "\n".join(failed))
    return 0
