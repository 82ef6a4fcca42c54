"""`benchmark neighbours`: what finding people among many faces takes, and how that grows."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Sequence
from typing import Any

from ...benchmark.measuring.fresh_processes import run_fresh
from ...bulk.data_sets.neighbour_costs import PHOTOS, SPREAD, NeighbourCost
from ...errors import InputError
from .shared_arguments import Subcommands, add_subcommand, finish

PROGRAM = "headsup_core.bulk.data_sets.neighbour_costs"


def add_subcommands(subcommands: Subcommands) -> None:
    neighbours = add_subcommand(subcommands, "neighbours", _neighbours)
    neighbours.add_argument(
        "--faces", type=int, nargs="+", default=[20000, 200000], metavar="N", help="default: 20000 200000"
    )
    neighbours.add_argument(
        "--spread", type=float, default=SPREAD, metavar="X", help=f"of a person's photos (default {SPREAD:g})"
    )


def _neighbours(args: argparse.Namespace) -> int:
    """Find people among made-up faces, as `dataset build` does: seconds and memory, and how both grow."""
    for count in args.faces:
        if count < PHOTOS:
            raise InputError(f"--faces {count}: must be at least {PHOTOS}, the photos of a person")
    costs: list[NeighbourCost] = []
    for count in args.faces:
        measured: dict[str, Any] = json.loads(run_fresh("-m", PROGRAM, str(count), f"{args.spread:g}"))
        costs.append(NeighbourCost(**measured))
    return finish(args.output, "neighbours.md", neighbours_table(costs, args.spread))


def neighbours_table(costs: Sequence[NeighbourCost], spread: float) -> str:
    """A row for each number of faces, and the growth from each to the next in words."""
    headings = ("faces", "CPU s", "MB", "true pairs found", "wrong pairs")
    lines = [
        f"{PHOTOS} photos a person, mean cosine {1 / (1 + spread**2):.2f}, {os.cpu_count()} cores.",
        "",
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
    ]
    lines += [
        f"| {one.faces} | {one.cpu_seconds:.1f} | {one.bytes / 1e6:.0f} | {100 * one.found:.2f} % | "
        f"{100 * one.wrong:.2f} % |"
        for one in costs
    ]
    for few, many in itertools.pairwise(costs):
        lines += [
            "",
            f"{many.faces / few.faces:.1f} times the faces took {many.cpu_seconds / few.cpu_seconds:.1f} times the "
            f"seconds and {many.bytes / few.bytes:.1f} times the memory.",
        ]
    return "\n".join(lines) + "\n"
