"""The arguments that say which models restore."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...host import Host
from ...idfsr.known_faces import load_model
from ...models.loading import DEFAULT_MODEL, find_model_file
from ...models.precision import offered
from ...models.systems import SYSTEMS, load_options
from ...restoring.headsup_model import HeadsUpModel
from ..option_arguments import add_option_argument

if TYPE_CHECKING:
    from ...benchmark.comparing.system_names import SystemName

log = logging.getLogger(__name__)

DTYPE_HELP = (
    "float32, bfloat16, float16; auto: float32, float16 for files over 200 MB on a GPU, bfloat16 for HeadsUp files on "
    "CPUs that compute in it"
)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --adapter, --base, --system, --dtype, and a flag for each option that some model can be loaded with."""
    parser.add_argument("--model", help=f"bundled name, file, or name in models/headsup (default: {DEFAULT_MODEL})")
    parser.add_argument("--adapter", help="a published system's file (docs/models/published-systems.md), with --base")
    parser.add_argument("--base", help="Stable Diffusion 2.1-base or SD-Turbo: a diffusers folder or a single file")
    systems = ", ".join(system.id for system in SYSTEMS)
    parser.add_argument("--system", help=f"{systems} (default: found by what the adapter's file holds)")
    parser.add_argument("--dtype", default="auto", help=DTYPE_HELP)
    for name, field in load_options().items():
        add_option_argument(parser, field)
        parser.set_defaults(**{name: None})  # so that only what was typed is asked of a model


def add_candidates_argument(parser: argparse.ArgumentParser) -> None:
    """--candidate."""
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="MODEL",
        help="one more model, as codeformer-v0.1.0.pth@fidelity=0.7 or osediff.pkl@base=BASE; repeat it for several: "
        "each face is taken from the result that is most like its person and still explains the picture",
    )


def load_candidates(args: argparse.Namespace, host: Host) -> list[HeadsUpModel]:
    """The models of --candidate. Raises `ModelFileError` and `InputError` as `load_model`."""
    return [name.load(host) for name in _candidate_names(args)]


def candidate_files(args: argparse.Namespace, host: Host) -> dict[str, Path]:
    """The files of --candidate, by what a record calls them."""
    names = _candidate_names(args)
    return {f"candidate {number}": find_model_file(name.source, host) for number, name in enumerate(names, start=1)}


def _candidate_names(args: argparse.Namespace) -> list[SystemName]:
    from ...benchmark.comparing.system_names import SystemName

    names = [SystemName.parse(text) for text in args.candidate]
    for text, name in zip(args.candidate, names, strict=True):
        if name.restoring or name.told:
            raise InputError(f"--candidate {text}: options of restoring hold for all models, give them as flags")
    return names


def load_asked_model(args: argparse.Namespace, host: Host) -> HeadsUpModel:
    """The model of those options. Raises `ModelFileError` and `InputError` as `load_model`."""
    model = load_model(
        args.model,
        adapter=args.adapter,
        base=args.base,
        system=args.system,
        dtype=args.dtype,
        host=host,
        **{name: value for name in load_options() if (value := getattr(args, name)) is not None},
    )
    if offer := offered(args.dtype, model.one_step.dtype, host.device):
        log.info("%s", offer)
    return model
