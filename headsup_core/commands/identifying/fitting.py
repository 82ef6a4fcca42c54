"""`identity fit`: photos or an identity file and an IDFSR model -> the identity with an embedding fitted to it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...identity.encoding import IdentityEncoder
from ...identity.identity import Identity
from ...identity.identity_file import SUFFIX, file_name, load_identity, save_identities
from ...identity.names import readable, shortened
from ...idfsr.identity_fitting import Fitted, FittingOptions, fit_identity, loss_curve
from ...idfsr.idfsr_file import DEFAULT_IDFSR, find_idfsr_file, load_idfsr
from ...image_files import picture_files, read_picture, write_picture
from ..hosting import add_host_arguments, check_folder, make_host
from ..option_arguments import add_option_arguments, given_arguments
from .analyzing import add_analyzer_arguments, detection_options, make_analyzer

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `identity fit`."""
    parser.add_argument(
        "person", nargs="+", type=Path, metavar="PHOTOS|IDENTITY", help="photos or folders of one person, or a file"
    )
    parser.add_argument("--name", help="of the person (default: the file's, or the first photo's)")
    parser.add_argument(
        "--model", default=DEFAULT_IDFSR, help=f"name or file of an IDFSR model (default {DEFAULT_IDFSR})"
    )
    add_option_arguments(parser, FittingOptions)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the identity file")
    parser.add_argument("--curve", type=Path, metavar="FILE", help="picture of the loss")
    parser.add_argument("--json", action="store_true", help="what was done as JSON")
    add_analyzer_arguments(parser)
    add_host_arguments(parser)
    parser.set_defaults(run_action=run_fit)


def run_fit(args: argparse.Namespace) -> int:
    """Fit, and go on where an interrupted run of the same photos, model and options stopped."""
    options = FittingOptions(**given_arguments(FittingOptions, args), save_every=1)
    host = make_host(args)
    model = load_idfsr(find_idfsr_file(args.model))
    check_folder(args.output)
    analyzer = make_analyzer(args, host)
    identity = _person(args, analyzer)
    state = args.output / f"{file_name(identity.name)}.fitting"
    started = time.perf_counter()
    try:
        fitted = fit_identity(identity, model, options, host, analyzer, state)
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on from {state}\n")
        return INTERRUPTED
    (path,) = save_identities(args.output, [fitted.identity])
    if args.curve is not None:
        write_picture(args.curve, loss_curve(fitted), None)
    result = _Result(fitted, model.model_id, path, time.perf_counter() - started)
    sys.stdout.write((json.dumps(result.record()) if args.json else result.words()) + "\n")
    return 0


@dataclass(frozen=True)
class _Result:
    fitted: Fitted
    model_id: str
    path: Path
    seconds: float

    def record(self) -> dict[str, Any]:
        """What `--json` says."""
        return {
            "name": self.fitted.identity.name,
            "identity": str(self.path),
            "model_id": self.model_id,
            "steps": len(self.fitted.losses),
            "best_step": self.fitted.best_step,
            "losses": self.fitted.losses,
            "held_out": self.fitted.held_out,
            "seconds": self.seconds,
        }

    def words(self) -> str:
        """What people read."""
        return f"{self.path}: {self.fitted.summary()}, {self.seconds:.0f} s"


def _person(args: argparse.Namespace, analyzer: FaceAnalyzer) -> Identity:
    """The person of the identity file, or encoded from the photos."""
    if any(path.suffix == SUFFIX for path in args.person):
        if len(args.person) > 1 or args.name:
            raise InputError("an identity file is fitted as it is: give it alone, without --name")
        return load_identity(args.person[0])
    first = Path(os.path.realpath(args.person[0]))
    name = args.name or shortened(first.name if os.path.isdir(first) else first.stem)
    encoder = IdentityEncoder(analyzer, name, detection_options(args))
    for path in picture_files(args.person):
        encoder.add(read_picture(path).rgb, readable(str(path)))
    return encoder.identity()
