"""Measure restorers against each other on the same pictures, or this pack's speed and memory."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import InputError
from ..models.loading import find_model_file
from .hosting import add_host_arguments, check_folder, make_host

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
    parser.add_argument(
        "--performance", metavar="MODEL", help="measure time and memory against size and tiles; or random-sd21-quarter"
    )
    parser.add_argument("--sides", default="512,1024,2048,4096", help="with --performance: output sizes in pixels")
    parser.add_argument("--artefacts", metavar="MODEL", help="measure seams and periodic texture instead of quality")
    parser.add_argument(
        "--faces", metavar="ANALYZERS", help="measure face detection of these (comma-separated) on degraded portraits"
    )
    parser.add_argument(
        "--assignment", metavar="ANALYZERS", help="measure how often these recognise degraded people among several"
    )
    parser.add_argument(
        "--without-faces", nargs="+", type=Path, default=[], metavar="DIR", help="with --faces: every find is false"
    )
    parser.add_argument(
        "--comfyui", type=Path, metavar="DIR", help="with --ratios: time the pack in this ComfyUI's start"
    )
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the tables into --output and show them. Status 2 when a case failed; the others are in the tables."""
    check_folder(args.output)
    if args.ratios:
        from ..benchmark.performance import cost_table, import_seconds, ratio_table

        model = str(find_model_file(args.ratios, make_host(args)).resolve())
        costs = cost_table(["realesrgan-x4plus", model])
        pack = Path(__file__).resolve().parents[2]
        added = import_seconds(pack, args.comfyui)
        place = "ComfyUI's start" if args.comfyui else "a process that has torch"
        table = f"{costs}\n\n{ratio_table(model)}\n\nLoading the pack adds {added:.2f} s to {place}.\n"
        return _finish(args.output, "ratios.md", table)
    folder: Path | None = args.pictures
    if args.performance:
        from ..benchmark.codec_ways import codec_table
        from ..benchmark.performance import overlap_table, ratio_table, size_table
        from ..benchmark.random_model import NAME

        name = args.performance
        model = name if name == NAME else str(find_model_file(name, make_host(args)).resolve())
        sides = _sides(args.sides)
        tables = [size_table(model, sides), ratio_table(model, 1), overlap_table(model, 1024, 512, (32, 64, 96, 128))]
        if name == NAME:
            tables.append(codec_table(sides[: len(sides) - 1] or sides))
        return _finish(args.output, f"performance-{Path(model).stem}.md", "\n\n".join(tables) + "\n")
    if args.artefacts:
        if folder is None:
            raise InputError("--artefacts needs a folder of clean pictures")
        from ..benchmark.artefacts import artefact_table

        return _finish(args.output, "artefacts.md", artefact_table(args.artefacts, folder, make_host(args)))
    if args.faces:
        if folder is None:
            raise InputError("--faces needs a folder of clean portraits, one person in each")
        from ..benchmark.cases import CleanFolder
        from ..benchmark.face_detection import detection_table
        from ..faces.registry import load_face_analyzer

        host = make_host(args)
        analyzers = [load_face_analyzer(name, host) for name in args.faces.split(",")]
        people = CleanFolder(folder, args.degradation, args.size, args.hold_out, args.limit, args.seed)
        table = detection_table(people, args.without_faces, analyzers)
        return _finish(args.output, "faces.md", table)
    if args.assignment:
        if folder is None:
            raise InputError("--assignment needs a folder of clean portraits, two of each person")
        from ..benchmark.assignment import assignment_table
        from ..benchmark.cases import CleanFolder
        from ..faces.registry import load_face_analyzer

        host = make_host(args)
        analyzers = [load_face_analyzer(name, host) for name in args.assignment.split(",")]
        people = CleanFolder(folder, "realesrgan", args.size, args.hold_out, args.limit, args.seed)
        return _finish(args.output, "assignment.md", assignment_table(people, analyzers))
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
        people = f"every {args.hold_out}th person, held out in training, " if args.hold_out else ""
        title = f"{folder.name}, {people}{args.degradation} (seed {args.seed}), {args.size} px"
    else:
        raise InputError("nothing to measure: give a folder of clean pictures, or --pairs BAD TRUTH")
    names = list(dict.fromkeys(args.systems.split(",")))
    systems = make_systems(names, make_host(args))
    if args.peer not in names:
        raise InputError(f"--peer {args.peer} is none of the systems: choose one of {', '.join(names)}")
    face_region = FaceRegion(args.face_detector) if args.face_detector else None
    metrics = Metrics.with_backbone(args.lpips_backbone)
    records, failures, sheets = evaluate(cases, systems, metrics, face_region, args.sheets)
    if not records:
        raise InputError("nothing could be measured:\n" + "\n".join(failures))
    table = write_report(args.output, title, records, failures, sheets, args.peer)
    log.info("%s", table)
    if failures:
        raise InputError(
            f"{len(failures)} measurements failed, the others are in {args.output}:\n" + "\n".join(failures)
        )
    return 0


def _finish(folder: Path, name: str, table: str) -> int:
    (folder / name).write_text(table)
    log.info("%s", table)
    return 0


def _sides(text: str) -> list[int]:
    sides = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if not sides or min(sides) < 64 or len(sides) != len(text.split(",")):
        raise InputError(f"--sides {text!r}: give output sizes of 64 px or more, for instance 512,1024")
    return sides
