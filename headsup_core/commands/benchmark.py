"""Measure restorers against each other on the same pictures, or this pack's speed and memory."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import InputError
from .hosting import add_host_arguments, make_host

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="?", type=Path, help="folder of clean pictures, degraded with --degradation")
    parser.add_argument("--pairs", nargs=2, type=Path, metavar=("BAD", "TRUTH"), help="folders of pairs instead")
    parser.add_argument("--degradation", default="realesrgan", help="realesrgan, x4-mild, x8 ...")
    parser.add_argument("--size", type=int, default=512, help="longer side of the clean pictures")
    parser.add_argument("--hold-out", type=int, default=0, metavar="N", help="every N-th person only, as in training")
    parser.add_argument("--limit", type=int, help="at most so many pictures, evenly spread")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--systems", default="bicubic,lanczos,realesrgan-x4plus,headsup-tiny", help="comma-separated")
    parser.add_argument("--peer", default="bicubic", help="system that the differences are taken from")
    parser.add_argument("--face-detector", type=Path, metavar="ONNX", help="YuNet, for figures of the face region")
    parser.add_argument("--lpips-backbone", type=Path, metavar="FILE", help="squeezenet1_1 weights, for LPIPS-squeeze")
    parser.add_argument("--sheets", type=int, default=4, help="so many cases as contact sheets")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--ratios", metavar="MODEL", help="measure speed and memory of MODEL instead of quality")
    parser.add_argument("--artefacts", metavar="MODEL", help="measure seams and periodic texture instead of quality")
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the tables into --output and show them."""
    if args.ratios:
        from ..benchmark.performance import import_seconds, ratio_table

        pack = Path(__file__).resolve().parents[2]
        added = import_seconds(pack)
        table = f"{ratio_table(args.ratios)}\n\nImporting the pack adds {added:.2f} s to a process that has torch.\n"
        return _finish(args.output, "ratios.md", table)
    folder: Path | None = args.pictures
    if args.artefacts and folder is not None:
        from ..benchmark.artefacts import artefact_table

        return _finish(args.output, "artefacts.md", artefact_table(args.artefacts, folder, make_host(args)))
    from ..benchmark.cases import CleanFolder, PairFolders
    from ..benchmark.evaluate import evaluate
    from ..benchmark.face_region import FaceRegion
    from ..benchmark.metrics import Metrics
    from ..benchmark.report import write_report
    from ..benchmark.systems import make_systems

    if args.pairs:
        cases, title = PairFolders(*args.pairs), f"{args.pairs[0].name} against {args.pairs[1].name}"
    elif folder is not None:
        cases = CleanFolder(folder, args.degradation, args.size, args.hold_out, args.limit, args.seed)
        title = f"{folder.name}, {args.degradation}, {args.size} px"
    else:
        raise InputError("nothing to measure: give a folder of clean pictures, or --pairs BAD TRUTH")
    systems = make_systems(args.systems.split(","), make_host(args))
    face_region = FaceRegion(args.face_detector) if args.face_detector else None
    metrics = Metrics.with_backbone(args.lpips_backbone)
    records, failures, sheets = evaluate(cases, systems, metrics, face_region, args.sheets)
    if not records:
        raise InputError("nothing could be measured:\n" + "\n".join(failures))
    table = write_report(args.output, title, records, failures, sheets, args.peer)
    log.info("%s", table)
    return 0


def _finish(folder: Path, name: str, table: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(table)
    log.info("%s", table)
    return 0
