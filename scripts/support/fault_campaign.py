"""Damaged inputs, killed and cancelled runs, full and unwritable disks, no memory: what must not happen is counted."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from .pack import CORE_PARENT, link_package


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign. Exit status 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--kills", type=int, default=100, help="runs that are killed")
    parser.add_argument("--allocations", type=int, default=500, help="allocations that fail; a tenth in the command")
    parser.add_argument("--cancels", type=int, default=20, help="cancelled batches; six times as many restorations")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    link_package()
    sys.path.insert(0, str(CORE_PARENT))
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.WARNING)  # of each restored picture nothing need be said
    torch.set_num_threads(1)

    from .faults.cancelling import cancelled_batches, cancelled_restorations
    from .faults.damaged_files import damaged_inputs
    from .faults.disks import full_disk, unwritable_folders
    from .faults.exhaustion import exhausted_commands, exhausted_restorations
    from .faults.findings import Findings
    from .faults.killed_runs import killed_runs

    findings = Findings()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        lines.append(killed_runs(folder, args.kills, args.seed, findings))
        uses = damaged_inputs(folder, args.count, args.seed, findings)
        lines += [f"{number} damaged {name}" for name, number in uses.items()]
        lines.append(full_disk(folder, findings))
        lines.append(unwritable_folders(folder, findings))
        lines.append(exhausted_restorations(args.allocations, args.seed, findings))
        lines.append(exhausted_commands(folder, args.allocations // 10, args.seed, findings))
        lines.append(cancelled_restorations(6 * args.cancels, args.seed, findings))
        lines.append(cancelled_batches(folder, args.cancels, args.seed, findings))
    lines += [f"{kind}: {number}" for kind, number in findings.counts.items()]
    sys.stdout.write("\n".join([*lines, *findings.examples]) + "\n")
    return 1 if findings.counts.total() else 0
