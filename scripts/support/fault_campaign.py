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
    parser.add_argument("--count", type=int, default=10_000, help="damaged inputs (default 10,000)")
    parser.add_argument("--kills", type=int, default=100, help="runs that are killed (default 100)")
    parser.add_argument("--allocations", type=int, help="allocations that fail (default: each)")
    parser.add_argument("--commands", type=int, help="of a whole command, as many of one with a person (default: each)")
    parser.add_argument("--cancels", type=int, help="moments at which a restoration is cancelled (default: each)")
    parser.add_argument("--batches", type=int, help="moments at which a batch is cancelled (default: each)")
    parser.add_argument("--prompts", type=int, default=200, help="queued in one ComfyUI (default 200)")
    parser.add_argument("--frames", type=int, default=500, help="of one batch in ComfyUI (default 500)")
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
    from .faults.long_runs import frames_of_one_batch, queued_prompts

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
        lines += exhausted_commands(folder, args.commands, args.seed, findings)
        lines.append(cancelled_restorations(args.cancels, args.seed, findings))
        lines.append(cancelled_batches(folder, args.batches, args.seed, findings))
        lines.append(queued_prompts(folder / "prompts", args.prompts, findings))
        lines.append(frames_of_one_batch(folder / "frames", args.frames, findings))
    lines += [f"{kind}: {number}" for kind, number in findings.counts.items()]
    sys.stdout.write("\n".join([*lines, *findings.examples]) + "\n")
    return 1 if findings.counts.total() else 0
