"""The options that say which model restores, and to what size, and in which tiles."""

from __future__ import annotations

import argparse

from ..host import Host
from ..imaging.color import COLOR_FIXES
from ..models.loading import DEFAULT_MODEL
from ..models.systems import SYSTEMS, load_options
from ..restoring.headsup_model import HeadsUpModel, load_model
from .option_arguments import add_option_argument


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --adapter, --base, --system, --dtype, and a flag for each option that some model can be loaded with."""
    parser.add_argument("--model", help=f"bundled name, file, or name in models/headsup (default: {DEFAULT_MODEL})")
    parser.add_argument("--adapter", help="a published system's file (docs/models/published-systems.md), with --base")
    parser.add_argument("--base", help="Stable Diffusion 2.1-base or SD-Turbo: a diffusers folder or a single file")
    systems = ", ".join(system.id for system in SYSTEMS)
    parser.add_argument("--system", help=f"{systems} (default: found by what the adapter's file holds)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16")
    for name, field in load_options().items():
        add_option_argument(parser, field)
        parser.set_defaults(**{name: None})  # so that only what was typed is asked of a model


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """--scale, --long-edge, --max-megapixels, --tile, --overlap, --tile-batch, --color-fix, --sizing."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help="enlargement (default: the model's own, 4)")
    size.add_argument("--long-edge", type=int, metavar="N", help="longer side of the output in pixels")
    parser.add_argument("--max-megapixels", type=float, metavar="X", help="cap on the output (default: none)")
    parser.add_argument("--tile", type=int, metavar="N", help="largest tile in output pixels (default: fits memory)")
    parser.add_argument("--overlap", type=int, metavar="N", help="least overlap of tiles in output pixels")
    parser.add_argument("--tile-batch", type=int, metavar="N", help="tiles per network call")
    parser.add_argument("--color-fix", choices=COLOR_FIXES, help="default: the model's own")
    parser.add_argument("--sizing", choices=("pad", "published"), default="pad", help="published: as its own script")


def load_asked_model(args: argparse.Namespace, host: Host) -> HeadsUpModel:
    """The model of those options. Raises `ModelFileError` and `InputError` as `load_model`."""
    return load_model(
        args.model,
        adapter=args.adapter,
        base=args.base,
        system=args.system,
        dtype=args.dtype,
        host=host,
        **{name: value for name in load_options() if (value := getattr(args, name)) is not None},
    )
