"""The arguments that say which model restores."""

from __future__ import annotations

import argparse

from ...host import Host
from ...idfsr.known_faces import load_model
from ...models.loading import DEFAULT_MODEL
from ...models.systems import SYSTEMS, load_options
from ...restoring.headsup_model import HeadsUpModel
from ..option_arguments import add_option_argument


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
