"""Measure restorers against each other on the same pictures, or this pack's speed and memory."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..faces.registry import BACKENDS, DEFAULT_ANALYZER
from ..models.loading import find_model_file
from .hosting import add_host_arguments, check_folder, make_host

if TYPE_CHECKING:
    from ..benchmark.comparing.cases import CleanFolder, PairFolders
    from ..benchmark.comparing.contestants import System
    from ..benchmark.comparing.evaluate import Judges, Outcome
    from ..host import Host

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="?", type=Path, help="folder of clean pictures, degraded with --degradation")
    parser.add_argument("--pairs", nargs=2, type=Path, metavar=("BAD", "TRUTH"), help="folders of pairs instead")
    parser.add_argument("--degradation", default="realesrgan", help="realesrgan, x4-mild, x8 ...")
    parser.add_argument("--size", type=int, default=512, help="longer side of the clean pictures")
    parser.add_argument("--hold-out", type=int, default=0, metavar="N", help="every N-th person only, as in training")
    parser.add_argument("--limit", type=int, help="at most so many pictures, evenly spread")
    parser.add_argument(
        "--reference-pairs",
        action="store_true",
        help="people with several pictures (PERSON_anything) only; each in turn, another one as its reference",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--systems",
        default="bicubic,lanczos,realesrgan-x4plus,headsup-tiny",
        help="comma-separated: peers, models, MODEL:tile=512, ADAPTER:base=BASE, MODEL+reference, +assigned, +stranger",
    )
    parser.add_argument("--peer", default="bicubic", help="system that the differences are taken from")
    parser.add_argument(
        "--analyzer",
        choices=(*BACKENDS, "none"),
        default=DEFAULT_ANALYZER,
        help=f"finds and recognises faces (default {DEFAULT_ANALYZER}); none: figures of the whole picture only",
    )
    parser.add_argument(
        "--recogniser",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="one more recogniser: MobileFaceNet's weights, or .onnx as InsightFace's; repeat it for several",
    )
    parser.add_argument(
        "--trained-against",
        metavar="NAMES",
        help="comma-separated: files (less their endings) and analyzers whose recogniser the measured model's identity "
        "loss used, so that it is no judge; in the place of the default: every file that is no .onnx, since "
        "headsup-tiny was trained with MobileFaceNet",
    )
    parser.add_argument("--face-detector", type=Path, metavar="ONNX", help="YuNet, for where the face region is")
    parser.add_argument("--lpips-backbone", type=Path, metavar="FILE", help="squeezenet1_1 weights, for LPIPS-squeeze")
    parser.add_argument("--niqe", type=Path, metavar="NPZ", help="NIQE's pristine parameters")
    parser.add_argument("--memory", action="store_true", help="peak memory of each system, in processes of their own")
    parser.add_argument("--sheets", type=int, default=4, help="so many cases as contact sheets")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--targets", metavar="MODEL", help="does MODEL reach its aims? All tasks; --without-faces: other pictures"
    )
    parser.add_argument("--ratios", metavar="MODEL", help="measure speed and memory of MODEL instead of quality")
    parser.add_argument(
        "--performance", metavar="MODEL", help="measure time and memory against size and tiles; or random-sd21-quarter"
    )
    parser.add_argument(
        "--tables", default="sizes,ratios,overlap,codec", metavar="LIST", help="with --performance: which tables"
    )
    parser.add_argument("--sides", default="512,1024,2048,4096", help="with --performance, --plan: output sizes, px")
    parser.add_argument(
        "--plan", metavar="MODELS", help="measure how far plans of these (comma-separated) are off instead of quality"
    )
    parser.add_argument("--plan-tile", type=int, default=0, metavar="N", help="with --plan: as upscale's --tile")
    parser.add_argument(
        "--artefacts", metavar="MODEL", help="measure seams and periodic texture instead of quality; as --performance"
    )
    parser.add_argument(
        "--shapes", default="1024,2048,1531x977", metavar="LIST", help="with --artefacts: longer sides, WIDTHxHEIGHT"
    )
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
    parser.add_argument(
        "--group-photos", metavar="MODEL", help="measure what the faces of made group photos (of 5 and 40) cost MODEL"
    )
    parser.add_argument(
        "--idfsr",
        metavar="MODEL",
        help="measure an IDFSR model (idfsr-tiny or a file) on aligned faces; with --degradation idfsr-x8 or idfsr-x16",
    )
    parser.add_argument("--fit-steps", type=int, default=60, metavar="N", help="with --idfsr: steps of each fitting")
    parser.add_argument("--fit-batch", type=int, default=4, metavar="N", help="with --idfsr: examples a step")
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the tables into --output and show them. Status 2 when a case failed; the others are in the tables."""
    check_folder(args.output)
    if args.ratios:
        return _ratios(args)
    if args.performance:
        return _performance(args)
    if args.plan:
        return _plan(args)
    if args.artefacts:
        return _artefacts(args)
    if args.faces:
        return _faces(args)
    if args.group_photos:
        return _group_photos(args)
    if args.assignment:
        return _assignment(args)
    if args.targets:
        return _targets(args)
    if args.idfsr:
        return _idfsr(args)
    return _quality(args)


def _ratios(args: argparse.Namespace) -> int:
    from ..benchmark.measuring.performance import cost_table, import_seconds, ratio_table

    model = str(find_model_file(args.ratios, make_host(args)).resolve())
    costs = cost_table(["realesrgan-x4plus", model])
    pack = Path(__file__).resolve().parents[2]
    added = import_seconds(pack, args.comfyui)
    place = "ComfyUI's start" if args.comfyui else "a process that has torch"
    table = f"{costs}\n\n{ratio_table(model)}\n\nLoading the pack adds {added:.2f} s to {place}.\n"
    return _finish(args.output, "ratios.md", table)


def _performance(args: argparse.Namespace) -> int:
    from ..benchmark.measuring.codec_ways import codec_table
    from ..benchmark.measuring.performance import overlap_table, ratio_table, size_table
    from ..benchmark.measuring.random_model import NAME

    name = args.performance
    model = name if name == NAME else str(find_model_file(name, make_host(args)).resolve())
    sides = _sides(args.sides)
    makers: dict[str, Callable[[], str]] = {
        "sizes": lambda: size_table(model, sides),
        "ratios": lambda: ratio_table(model, 1),
        "overlap": lambda: overlap_table(model, 1024, 512, (32, 64, 96, 128)),
        "codec": lambda: codec_table(sides[: len(sides) - 1] or sides),
    }
    asked: list[str] = args.tables.split(",")
    if unknown := [table for table in asked if table not in makers]:
        raise InputError(f"--tables {unknown[0]}: choose from {', '.join(makers)}")
    tables = [makers[table]() for table in asked if table != "codec" or name == NAME]
    return _finish(args.output, f"performance-{Path(model).stem}.md", "\n\n".join(tables) + "\n")


def _artefacts(args: argparse.Namespace) -> int:
    from ..benchmark.measuring.artefacts import artefact_table

    folder, host = _folder(args, "--artefacts needs a folder of clean pictures"), make_host(args)
    sizes = [_shape(text) for text in args.shapes.split(",")]
    return _finish(args.output, "artefacts.md", artefact_table(args.artefacts, folder, host, sizes))


def _plan(args: argparse.Namespace) -> int:
    from ..benchmark.measuring.estimates import estimate_table
    from ..benchmark.measuring.random_model import NAME

    host = make_host(args)
    names: list[str] = args.plan.split(",")
    models = [name if name == NAME else str(find_model_file(name, host).resolve()) for name in names]
    return _finish(args.output, "estimates.md", estimate_table(models, _sides(args.sides), args.plan_tile) + "\n")


def _faces(args: argparse.Namespace) -> int:
    from ..benchmark.recognising.face_detection import detection_table
    from ..faces.registry import load_face_analyzer

    people = _clean(args, "--faces needs a folder of clean portraits, one person in each")
    host = make_host(args)
    analyzers = [load_face_analyzer(name, host) for name in args.faces.split(",")]
    return _finish(args.output, "faces.md", detection_table(people, args.without_faces, analyzers))


def _assignment(args: argparse.Namespace) -> int:
    from ..benchmark.recognising.recognition_rates import assignment_table
    from ..faces.registry import load_face_analyzer

    people = _clean(args, "--assignment needs a folder of clean portraits, two of each person")
    host = make_host(args)
    analyzers = [load_face_analyzer(name, host) for name in args.assignment.split(",")]
    return _finish(args.output, "assignment.md", assignment_table(people, analyzers))


def _group_photos(args: argparse.Namespace) -> int:
    from ..benchmark.measuring.group_photo import group_table
    from ..faces.registry import load_face_analyzer

    folder = _folder(args, "--group-photos needs a folder of clean portraits, one person in each")
    host = make_host(args)
    table = group_table(args.group_photos, folder, load_face_analyzer(host=host), host, (5, 40), args.size)
    return _finish(args.output, "groups.md", table)


def _targets(args: argparse.Namespace) -> int:
    from ..benchmark.targets import Targets

    people = _clean(args, "--targets needs a folder of clean portraits")
    host = make_host(args)
    judges = _judges(args, host)
    recognisers = judges.likeness.recognisers if judges.likeness else ()
    judge = next((each.name for each in recognisers if not each.trained_against), None)
    if judge is None:
        raise InputError(
            f"--targets judges identity, but no recogniser is left that was not trained against (face analyzer: "
            f"{args.analyzer}): use --analyzer dlib, or another --recogniser"
        )
    others = args.without_faces[0] if args.without_faces else None
    targets = Targets(people, others, args.targets, host, judges, _weights(args), judge, args.sheets, args.quiet)
    table, failures = targets.measure(args.output)
    log.info("%s", table)
    return _named(failures, args.output)


def _idfsr(args: argparse.Namespace) -> int:
    from ..benchmark.comparing.aligned_faces import AlignedFaces
    from ..benchmark.reporting.report_files import stacked
    from ..idfsr.conditioning import aligned_face
    from ..idfsr.identity_fitting import FittingOptions
    from ..idfsr.idfsr_benchmark import idfsr_systems
    from ..idfsr.idfsr_file import find_idfsr_file, load_idfsr

    host, file = make_host(args), find_idfsr_file(args.idfsr)
    model = load_idfsr(file)
    judges = _judges(args, host)
    likeness = judges.likeness
    if likeness is None:
        raise InputError("--idfsr needs a face analyzer, which finds the faces and recognises the people")
    size = model.architecture.size
    folder = _folder(args, "--idfsr needs a folder of clean portraits, two of each person")
    cases = AlignedFaces(
        folder, args.degradation, size, args.hold_out, args.limit, args.seed, True, analyzer=likeness.analyzer
    )
    judges = replace(judges, likeness=replace(likeness, placed=aligned_face(size)), region=None)
    fitting = FittingOptions(args.fit_steps, batch=args.fit_batch, scales=(cases.scale,))
    systems = idfsr_systems(model, file, host, fitting)
    title = f"{folder.name}, aligned faces of {size} px, {args.degradation} (seed {args.seed}), {file.stem}"
    outcome = _reported(args, cases, systems, judges, title, "bicubic")
    if outcome.sheets:
        stacked(outcome.sheets, max(1, 128 // size)).save(args.output / "people.png")
    return _named(outcome.failures, args.output)


def _quality(args: argparse.Namespace) -> int:
    from ..benchmark.comparing.cases import PairFolders
    from ..benchmark.comparing.contestants import make_systems
    from ..benchmark.measuring.performance import usage_table

    if args.pairs:
        cases, title = PairFolders(*args.pairs), f"{args.pairs[0].name} against {args.pairs[1].name}"
    else:
        cases = _clean(args, "nothing to measure: give a folder of clean pictures, or --pairs BAD TRUTH")
        people = f"every {args.hold_out}th person, held out in training, " if args.hold_out else ""
        title = f"{cases.folder.name}, {people}{args.degradation} (seed {args.seed}), {args.size} px"
    names: list[str] = list(dict.fromkeys(args.systems.split(",")))
    host = make_host(args)
    judges = _judges(args, host)
    systems = make_systems(names, host, judges.likeness.analyzer if judges.likeness else None)
    if args.peer not in names:
        raise InputError(f"--peer {args.peer} is none of the systems: choose one of {', '.join(names)}")
    outcome = _reported(args, cases, systems, judges, title, args.peer)
    if args.memory:
        _finish(args.output, "memory.md", usage_table(names, host, args.size))
    return _named(outcome.failures, args.output)


def _reported(
    args: argparse.Namespace,
    cases: CleanFolder | PairFolders,
    systems: Sequence[System],
    judges: Judges,
    title: str,
    peer: str,
) -> Outcome:
    """Measure, and write the report into --output. Raises `InputError` when nothing could be measured."""
    from ..benchmark.comparing.evaluate import evaluate
    from ..benchmark.comparing.provenance import provenance
    from ..benchmark.reporting.report_files import write_report

    outcome = evaluate(cases, systems, judges, args.sheets, quiet=args.quiet)
    if not outcome.records:
        raise InputError("nothing could be measured:\n" + "\n".join(outcome.failures))
    table = write_report(args.output, title, outcome, peer, provenance(cases, systems, _weights(args)))
    log.info("%s", table)
    return outcome


def _folder(args: argparse.Namespace, missing: str) -> Path:
    """The folder of pictures. Raises `InputError` with `missing` when none was given."""
    if args.pictures is None:
        raise InputError(missing)
    return args.pictures


def _clean(args: argparse.Namespace, missing: str) -> CleanFolder:
    from ..benchmark.comparing.cases import CleanFolder

    folder = _folder(args, missing)
    return CleanFolder(
        folder, args.degradation, args.size, args.hold_out, args.limit, args.seed, pairs=args.reference_pairs
    )


def _judges(args: argparse.Namespace, host: Host) -> Judges:
    """What measures. Raises `InputError` or `ModelFileError` when a file or a library is missing."""
    from ..benchmark.comparing.evaluate import Judges
    from ..benchmark.metrics.measures import Metrics
    from ..benchmark.recognising.face_region import FaceRegion
    from ..benchmark.recognising.likeness import Likeness
    from ..benchmark.recognising.recognisers import AnalyzersRecogniser, NetworkRecogniser, Recogniser
    from ..faces.registry import load_face_analyzer

    likeness = None
    if args.analyzer != "none":
        analyzer = load_face_analyzer(args.analyzer, host)
        names = [analyzer.name] * bool(analyzer.embedder_id) + [path.stem for path in args.recogniser]
        told = _trained_against(args.trained_against, names, args.recogniser)
        recognisers: list[Recogniser] = []
        if analyzer.embedder_id:
            recognisers.append(AnalyzersRecogniser(analyzer, trained_against=analyzer.name in told))
        recognisers += [
            NetworkRecogniser.from_file(path, trained_against=path.stem in told) for path in args.recogniser
        ]
        likeness = Likeness(analyzer, recognisers)
    region = FaceRegion(args.face_detector) if args.face_detector else None
    return Judges(Metrics.from_files(args.lpips_backbone, args.niqe), likeness, region)


def _trained_against(told: str | None, names: Sequence[str], files: Sequence[Path]) -> set[str]:
    """Which of the recognisers `names` are no judges. Raises `InputError` for two of one name, or one unknown."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--recogniser: two are called {twice}, rename a file")
    if told is None:
        return {path.stem for path in files if path.suffix.lower() != ".onnx"}
    chosen = {name.strip() for name in told.split(",")} - {""}
    if unknown := sorted(chosen - set(names)):
        raise InputError(f"--trained-against {unknown[0]}: the recognisers are {', '.join(names) or 'none'}")
    return chosen


def _weights(args: argparse.Namespace) -> Sequence[Path | None]:
    return (*args.recogniser, args.face_detector, args.lpips_backbone, args.niqe)


def _named(failures: Sequence[str], folder: Path) -> int:
    """0. Raises `InputError` that names the failures when there are any."""
    if failures:
        raise InputError(f"{len(failures)} measurements failed, the others are in {folder}:\n" + "\n".join(failures))
    return 0


def _finish(folder: Path, name: str, table: str) -> int:
    (folder / name).write_text(table)
    log.info("%s", table)
    return 0


def _shape(text: str) -> tuple[int | None, int]:
    """(height, width) of WIDTHxHEIGHT, or (None, longer side)."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) >= 64 for part in parts):
        raise InputError(f"--shapes {text!r}: give a longer side or WIDTHxHEIGHT of 64 px or more, as 1024 or 1531x977")
    width, *height = map(int, parts)
    return (height[0] if height else None), width


def _sides(text: str) -> list[int]:
    sides = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if not sides or min(sides) < 64 or len(sides) != len(text.split(",")):
        raise InputError(f"--sides {text!r}: give output sizes of 64 px or more, for instance 512,1024")
    return sides
