"""Restore and enlarge pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..faces import FaceAnalyzer
from ..host import Host
from ..image_files import read_picture, write_picture
from ..imaging.color import COLOR_FIXES
from ..imaging.resizing import resize
from ..models.loading import DEFAULT_MODEL, find_base, find_model_file, load_model
from ..models.one_step import HeadsUpModel
from ..models.systems import SYSTEMS
from ..restore.pipeline import restore
from ..restore.report import RestoreReport
from .analyzing import add_analyzer_arguments, detection_options, make_analyzer
from .batch import Job, plan_jobs, run_batch
from .hosting import add_host_arguments, check_folder, make_host
from .people import add_people_arguments, names_people, with_people
from .records import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="pictures, or folders of pictures")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results (.png)")
    parser.add_argument("--model", help=f"bundled name, file, or name in models/headsup (default: {DEFAULT_MODEL})")
    parser.add_argument("--adapter", help="a published system's file (docs/models/published-systems.md), with --base")
    parser.add_argument("--base", help="Stable Diffusion 2.1-base or SD-Turbo: a diffusers folder or a single file")
    systems = ", ".join(system.id for system in SYSTEMS)
    parser.add_argument("--system", help=f"{systems} (default: found by what the adapter's file holds)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=NUMBER", help="a load option, as lambda_sem=0.6"
    )
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help="enlargement (default: the model's own, 4)")
    size.add_argument("--long-edge", type=int, metavar="N", help="longer side of the output in pixels")
    parser.add_argument("--max-megapixels", type=float, metavar="X", help="cap on the output (default: none)")
    parser.add_argument("--tile", type=int, metavar="N", help="largest tile in output pixels (default: fits memory)")
    parser.add_argument("--overlap", type=int, metavar="N", help="least overlap of tiles in output pixels")
    parser.add_argument("--tile-batch", type=int, metavar="N", help="tiles per network call")
    parser.add_argument("--color-fix", choices=COLOR_FIXES, help="default: the model's own")
    parser.add_argument("--strength", type=float, default=1.0, metavar="X", help="0 = plain enlargement .. 1")
    parser.add_argument("--prompt", help="text, for models that read it")
    parser.add_argument("--tags", help="comma-separated words for what is seen, for models that want them")
    parser.add_argument("--sizing", choices=("pad", "published"), default="pad", help="published: as its own script")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recursive", action="store_true", help="pictures of the folders in a folder, too")
    parser.add_argument(
        "--resume", action="store_true", help="keep results of the same pictures and settings; do what is missing"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per picture on stdout")
    parser.add_argument(
        "--aligned", action="store_true", help="for models of aligned faces: the pictures are such faces, look for none"
    )
    add_people_arguments(parser)
    add_analyzer_arguments(parser)
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Restore each picture; one that fails is named at the end, the others are done. Status 2 when any failed."""
    host = make_host(args)
    jobs = plan_jobs(args.pictures, args.output, recursive=args.recursive)
    check_folder(args.output)
    model = load_model(
        args.model,
        adapter=args.adapter,
        base=args.base,
        system=args.system,
        dtype=args.dtype,
        host=host,
        **_options(args.option),
    )
    by_faces = model.one_step.aligned_face and not args.aligned and args.sizing == "pad"
    analyzer = make_analyzer(args, host) if by_faces or names_people(args) else None
    if analyzer is not None and names_people(args):
        model = with_people(model, args, analyzer)

    def restore_one(job: Job, texts: dict[str, str]) -> RestoreReport:
        return _restore_file(job, texts, model, host, args, analyzer)

    settings = Settings.of(args, _model_files(args, host))
    run_batch(jobs, restore_one, settings, host, resume=args.resume, as_json=args.json)
    return 0


def _model_files(args: argparse.Namespace, host: Host) -> dict[str, Path]:
    """What the options that name a model mean."""
    if args.adapter is None:
        return {"model": find_model_file(args.model or DEFAULT_MODEL, host)}
    return {"adapter": find_model_file(args.adapter, host), "base": find_base(args.base, host)}


def _restore_file(
    job: Job,
    texts: dict[str, str],
    model: HeadsUpModel,
    host: Host,
    args: argparse.Namespace,
    analyzer: FaceAnalyzer | None,
) -> RestoreReport:
    picture = read_picture(job.source)
    result = restore(
        picture.rgb,
        model,
        args.scale,
        long_edge=args.long_edge,
        max_megapixels=args.max_megapixels,
        prompt=args.prompt,
        tags=args.tags,
        sizing=args.sizing,
        faces=None if analyzer is None else analyzer.detect(picture.rgb, detection_options(args)),
        tile=args.tile,
        overlap=args.overlap,
        tile_batch=args.tile_batch,
        color_fix=args.color_fix,
        strength=args.strength,
        analyzer=analyzer,
        identity_gate=args.identity_gate,
        seed=args.seed,
        host=host,
    )
    alpha = None if picture.alpha is None else resize(picture.alpha, *result.report.output_size)
    write_picture(job.target, result.image, alpha, text=texts)
    if picture.frames > 1:
        result.report.notes.append(f"the file has {picture.frames} frames: the first was restored")
    return result.report


def _options(settings: list[str]) -> dict[str, Any]:
    """--option NAME=NUMBER as load options. Raises `InputError` for anything else."""
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        try:
            options[name] = float(value)
        except ValueError as error:
            raise InputError(f"--option {setting}: expected NAME=NUMBER, as lambda_sem=0.6") from error
        if not equals or not name.isidentifier() or name in ("dtype", "host", "merge", "base", "model", "adapter"):
            raise InputError(f"--option {setting}: {name!r} is no load option")
    return options
