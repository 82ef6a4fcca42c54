"""Restore and enlarge pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from ...bulk.addresses import is_url, path_or_url
from ...errors import InputError
from ...faces import Faces
from ...faces.analyzer import AnalyzerBase
from ...image_files import read_picture
from ...restoring.options import RestoreOptions
from ..hosting import add_host_arguments, check_folder
from ..identifying.analyzing import add_analyzer_arguments, add_faces_argument, detection_options, make_analyzer
from ..identifying.people_arguments import add_people_arguments
from ..in_bulk.bulk_arguments import add_engine_arguments
from ..in_bulk.bulk_upscale import upscale_in_bulk
from ..option_arguments import add_option_arguments
from .batch import Job, JsonLines, LogLines, Restored, Watcher, plan_jobs, run_batch
from .html_report import HtmlReport, check_report_file
from .prepared import Prepared, check_arguments, prepare
from .records import is_a_result
from .restoring import add_candidates_argument, add_model_arguments
from .result_files import add_file_arguments, checked_suffix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures",
        nargs="+",
        type=path_or_url,
        metavar="IN",
        help="pictures, or folders of pictures; with --engine also globs, lists of paths (.txt), shards (.tar, "
        ".parquet) and URLs (s3://, gs://, ...)",
    )
    parser.add_argument(
        "--output", type=path_or_url, required=True, metavar="DIR", help="folder of the results; with --engine or a URL"
    )
    add_file_arguments(parser)
    add_model_arguments(parser)
    add_candidates_argument(parser)
    add_option_arguments(parser, RestoreOptions)
    parser.add_argument("--recursive", action="store_true", help="pictures of the folders in a folder, too")
    parser.add_argument(
        "--resume", action="store_true", help="keep results of the same pictures and settings; do what is missing"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per picture on stdout")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="one HTML file to look at: before and after under a slider, faces, what failed; loads nothing",
    )
    parser.add_argument(
        "--aligned",
        action="store_true",
        help="the pictures are aligned faces (FFHQ), look for none; with --reference or --identity: of that person",
    )
    parser.add_argument(
        "--sidecars",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="tags of photo.txt beside photo.jpg in place of --tags, for models that read text (default: yes)",
    )
    parser.add_argument(
        "--tagger", metavar="RAM", help="ram_swin_large_14m.pth: tags each picture that has no photo.txt"
    )
    parser.add_argument("--dape", metavar="DAPE", help="DAPE.pth of SeeSR, with --tagger: for bad pictures")
    add_engine_arguments(parser)
    add_people_arguments(parser)
    add_faces_argument(parser)
    add_analyzer_arguments(parser)
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Restore each picture; one that fails is named at the end, the others are done. Status 2 when any failed."""
    check_arguments(args)
    ending = checked_suffix(args)
    if args.report is not None:
        check_folder(args.report.parent, "--report")
        check_report_file(args.report)
    if args.engine != "plain":
        if args.frames:
            raise InputError(f"--frames wants the pictures one after the other: leave out --engine {args.engine}")
        return upscale_in_bulk(args, ending)
    if args.dry_run:
        raise InputError("--dry-run plans a run on an engine: add --engine ray or local; `plan` plans single pictures")
    if args.shards is not None:
        raise InputError(f"--shards {args.shards} is for runs on an engine: add --engine ray or local")
    if urls := [text for text in (*args.pictures, args.output) if is_url(text)]:
        raise InputError(f"{len(urls)} of the paths are URLs: add --engine ray, or --engine local without Ray")
    output = Path(args.output)
    jobs = plan_jobs([Path(text) for text in args.pictures], output, recursive=args.recursive, ending=ending)
    check_folder(output)
    prepared = prepare(args)
    with ExitStack() as stack:
        page = None
        if args.report is not None:
            page = stack.enter_context(_page(args, jobs, prepared.analyzer or make_analyzer(args, prepared.host)))
        watchers: list[Watcher] = [JsonLines() if args.json else LogLines(), *([] if page is None else [page])]

        def restore_one(job: Job, texts: dict[str, str]) -> Restored:
            return _restore_file(job, texts, prepared, page)

        run_batch(jobs, restore_one, prepared.settings, prepared.host, resume=args.resume, watchers=watchers)
    return 0


def _page(args: argparse.Namespace, jobs: Sequence[Job], analyzer: AnalyzerBase) -> HtmlReport:
    """The report that `--report` asks for."""
    options = detection_options(args)

    def find_faces(picture: torch.Tensor) -> Faces:
        return analyzer.detect(picture, options)

    return HtmlReport(args.report, "HeadsUp: before and after", len(jobs), find_faces, analyzer.embedder_id)


def _restore_file(job: Job, texts: dict[str, str], prepared: Prepared, page: HtmlReport | None) -> Restored:
    picture = read_picture(job.source)
    faces = prepared.faces(picture)
    if page is not None and faces is not None:
        page.faces_are(job.source, faces)
    restored = prepared.restore(picture, faces, texts, prepared.settings.text_of(job.source))
    if is_a_result(job.source):
        restored.report.notes.append("the picture is a result of an earlier run: what was restored is restored again")
    return restored.to_file()
