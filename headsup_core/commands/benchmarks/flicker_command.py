"""`benchmark flicker`: does a face flicker that the detector misses in some frames of a video?"""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import InputError
from ..hosting import make_host
from .shared_arguments import Subcommands, add_analyzer_argument, add_subcommand, finish


def add_subcommands(subcommands: Subcommands) -> None:
    flicker = add_subcommand(subcommands, "flicker", _flicker)
    flicker.add_argument("model", help="as upscale's --model")
    flicker.add_argument("portrait", type=Path, help="a sharp portrait, which a pan is made over")
    flicker.add_argument("--reference", type=Path, metavar="PHOTO", help="another photo of the same person")
    flicker.add_argument("--frames", type=int, default=20, metavar="N", help="of the pan (default 20)")
    flicker.add_argument(
        "--side", type=int, default=512, metavar="N", help="height of the portrait in px (default 512)"
    )
    flicker.add_argument("--step", type=int, default=3, metavar="N", help="px of the portrait a frame (default 3)")
    add_analyzer_argument(flicker)


def _flicker(args: argparse.Namespace) -> int:
    """How much a face flickers that is missed in one of ten frames of a pan over a portrait."""
    from ...benchmark.recognising.face_flicker import face_in_each, flicker_table, measure_flicker, pan_over
    from ...faces.registry import load_face_analyzer
    from ...identity.encoding import encode_identity
    from ...idfsr.known_faces import load_model
    from ...image_files import read_picture

    for name, least in (("frames", 8), ("side", 64), ("step", 1)):
        if (value := getattr(args, name)) < least:
            raise InputError(f"--{name} {value}: must be at least {least}")
    if args.analyzer == "none":
        raise InputError("--analyzer none: a face has to be found before it can be missed")
    host = make_host(args)
    analyzer = load_face_analyzer(args.analyzer, host)
    pan = pan_over(read_picture(args.portrait).rgb, args.frames, args.side, args.step)
    faces = face_in_each(pan, analyzer)
    model = load_model(args.model, host=host)
    if args.reference is not None:
        model = model.with_identities([encode_identity([read_picture(args.reference).rgb], analyzer, name="person")])
    rows = measure_flicker(pan, faces, model, analyzer, host)
    return finish(args.output, "flicker.md", flicker_table(rows, pan, faces))
