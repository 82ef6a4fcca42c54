"""`benchmark gate`: how well the identity gate tells right photos from wrong ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import InputError
from ...models.loading import DEFAULT_MODEL
from ..hosting import make_host
from .shared_arguments import Subcommands, add_analyzer_argument, add_selection_arguments, add_subcommand, finish


def add_subcommands(subcommands: Subcommands) -> None:
    gate = add_subcommand(subcommands, "gate", _gate)
    gate.add_argument("pictures", type=Path, help="folder of clean portraits, two of each person, called PERSON_kind")
    gate.add_argument("--degradations", default="realesrgan,x8", metavar="NAMES", help="default realesrgan,x8")
    gate.add_argument("--size", type=int, default=512, help="longer side of the clean pictures")
    gate.add_argument("--model", default=DEFAULT_MODEL, help=f"restores with each photo (default {DEFAULT_MODEL})")
    gate.add_argument(
        "--no-restoring",
        action="store_true",
        help="only what the recogniser says, in a fraction of the time: the scores are those of the assignment",
    )
    gate.add_argument("--fit", action="store_true", help="weights of the score for this recogniser, from these pairs")
    add_analyzer_argument(gate)
    add_selection_arguments(gate)


def _gate(args: argparse.Namespace) -> int:
    """How often the gate refuses the right photo and takes a wrong one, on degraded portraits.

    Each face is restored with another photo of its person, with one of the most alike other person, and with one of an
    arbitrary other. What was measured is kept in evidence.jsonl in --output: the same command goes on from there.
    """
    from ...benchmark.comparing.cases import CleanFolder
    from ...benchmark.recognising.photo_evidence import EvidenceCollector
    from ...benchmark.recognising.photo_rates import fitted, plot_rates, rates_table, weights_line, weights_table
    from ...faces.registry import load_face_analyzer
    from ...restoring.headsup_model import load_model

    if args.analyzer == "none":
        raise InputError("--analyzer none: the gate needs one that recognises people")
    host = make_host(args)
    analyzer = load_face_analyzer(args.analyzer, host)
    names = [name.strip() for name in args.degradations.split(",")]
    people = CleanFolder(
        args.pictures, names[0], args.size, args.hold_out, args.limit, args.seed, pairs=True, people=args.people,
        one_each=args.one_each,
    )  # fmt: skip
    model = None if args.no_restoring else load_model(args.model, host=host)
    records = EvidenceCollector(analyzer, host, model).records(people, names, args.output / "evidence.jsonl")
    plot_rates(records, analyzer.embedder_id, args.output / "gate.png")
    table = rates_table(records, analyzer.embedder_id)
    if args.fit:
        weights = fitted(records, analyzer.embedder_id)
        table += f"\n\n{weights_table(weights)}\n\n{weights_line(analyzer.embedder_id, weights)}"
    return finish(args.output, "gate.md", table + "\n")
