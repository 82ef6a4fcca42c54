"""Measure restorers against each other on the same pictures, or this pack's speed and memory."""

from __future__ import annotations

import argparse

from . import (
    bulk_command,
    comparing_commands,
    face_commands,
    flicker_command,
    gate_command,
    idfsr_command,
    neighbours_command,
    pack_commands,
    targets_command,
)

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each kind of measurement; each has only the options that it reads."""
    subcommands = parser.add_subparsers(dest="benchmark", required=True, metavar="SUBCOMMAND")
    measured = (comparing_commands, targets_command, face_commands, gate_command, idfsr_command, pack_commands)
    for module in (*measured, bulk_command, neighbours_command, flicker_command):
        module.add_subcommands(subcommands)


def run(args: argparse.Namespace) -> int:
    """Write the tables into --output and show them. Status 2 when a case failed; the others are in the tables."""
    return args.run_benchmark(args)
