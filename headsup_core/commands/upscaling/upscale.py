"""Restore and enlarge pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ...errors import InputError
from ...faces import Faces
from ...faces.analyzer import AnalyzerBase
from ...host import Host
from ...identity.overrides import with_overrides
from ...idfsr.known_faces import faces_of_aligned, find_any_model
from ...image_files import read_picture, write_picture
from ...imaging.resizing import resize
from ...models.codecs.quick_decoder import find_taesd
from ...models.loading import DEFAULT_MODEL, find_base, find_model_file
from ...models.tagging.tagger import Tagger
from ...restoring.options import RestoreOptions
from ...restoring.people.face_painter import looked_for
from ...restoring.session import Session
from ...restoring.several_models import restore_by_several
from ..hosting import add_host_arguments, check_folder, make_host
from ..identifying.analyzing import (
    add_analyzer_arguments,
    add_faces_argument,
    analyzer_if_there,
    detection_options,
    make_analyzer,
)
from ..identifying.people_arguments import add_people_arguments, names_people, with_people
from ..option_arguments import add_option_arguments, given_arguments
from .batch import Job, JsonLines, LogLines, Restored, Watcher, plan_jobs, run_batch
from .html_report import HtmlReport, check_report_file
from .records import Settings
from .restoring import (
    add_candidates_argument,
    add_model_arguments,
    candidate_files,
    load_asked_model,
    load_candidates,
)
from .result_files import add_file_arguments, checked_suffix, manner_of
from .tag import load_asked_tagger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="pictures, or folders of pictures")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
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
    add_people_arguments(parser)
    add_faces_argument(parser)
    add_analyzer_arguments(parser)
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Restore each picture; one that fails is named at the end, the others are done. Status 2 when any failed."""
    if not args.faces and names_people(args):
        raise InputError("--no-faces with --reference or --identity: people are found by their faces, leave one out")
    if args.aligned and args.person:
        raise InputError("--aligned with --person: the one face is the one person's, leave --person out")
    if args.dape is not None and args.tagger is None:
        raise InputError("--dape without --tagger: DAPE goes over RAM's file, give both")
    if args.person and not names_people(args):
        raise InputError("--person without --reference or --identity: say whose photos there are, too")
    if args.candidate and (args.aligned or not args.faces):
        flag = "--aligned" if args.aligned else "--no-faces"
        raise InputError(f"--candidate with {flag}: results are compared at the faces that are found, leave one out")
    options = RestoreOptions(**given_arguments(RestoreOptions, args))
    host = make_host(args)
    jobs = plan_jobs(args.pictures, args.output, recursive=args.recursive, ending=checked_suffix(args))
    check_folder(args.output)
    if args.report is not None:
        check_folder(args.report.parent, "--report")
        check_report_file(args.report)
    model = load_asked_model(args, host)
    others = load_candidates(args, host)
    cuts = any(each.one_step.aligned_face for each in (model, *others))
    analyzer: AnalyzerBase | None = None
    if names_people(args):
        analyzer = make_analyzer(args, host)
        model = with_people(model, args, analyzer)
        if args.aligned and len(model.identities) > 1:
            raise InputError(f"--aligned with {len(model.identities)} people: a face is one person's, name one")
    elif args.faces and not args.aligned and options.sizing == "pad" and options.strength > 0:
        analyzer = make_analyzer(args, host) if cuts or others else analyzer_if_there(args, host)
    if args.aligned and model.painter is not None and options.scale is None and options.long_edge is None:
        options = replace(options, long_edge=model.painter.side)
    sessions = [Session(each, options, host, analyzer) for each in (model, *others)]
    reads = any(each.one_step.prompt.reads_text for each in (model, *others))
    tagger = load_asked_tagger(args.tagger, args.dape, host) if args.tagger is not None and reads else None
    settings = Settings.of(args, options, _model_files(args, host), sidecars=args.sidecars and reads)
    with ExitStack() as stack:
        page = None
        if args.report is not None:
            page = stack.enter_context(_page(args, jobs, analyzer or make_analyzer(args, host)))
        watchers: list[Watcher] = [JsonLines() if args.json else LogLines(), *([] if page is None else [page])]

        def restore_one(job: Job, texts: dict[str, str]) -> Restored:
            told = _with_tags(options, job.source, settings, tagger, host)
            return _restore_file(job, texts, [replace(each, options=told) for each in sessions], args, page)

        run_batch(jobs, restore_one, settings, host, resume=args.resume, watchers=watchers)
    return 0


def _page(args: argparse.Namespace, jobs: Sequence[Job], analyzer: AnalyzerBase) -> HtmlReport:
    """The report that `--report` asks for."""
    options = detection_options(args)

    def find_faces(picture: torch.Tensor) -> Faces:
        return analyzer.detect(picture, options)

    return HtmlReport(args.report, "HeadsUp: before and after", len(jobs), find_faces, analyzer.embedder_id)


def _model_files(args: argparse.Namespace, host: Host) -> dict[str, Path]:
    """What the options that name a model mean."""
    named = {name: given for name in ("tagger", "dape") if (given := getattr(args, name)) is not None}
    others = {name: find_model_file(given, host) for name, given in named.items()} | candidate_files(args, host)
    if args.adapter is None:
        return {"model": find_any_model(args.model or DEFAULT_MODEL, host), **others}
    files = {"adapter": find_model_file(args.adapter, host), "base": find_base(args.base, host), **others}
    return files | ({"decoder": find_taesd(host)} if args.decoder == "taesd" else {})


def _with_tags(
    options: RestoreOptions, source: Path, settings: Settings, tagger: Tagger | None, host: Host
) -> RestoreOptions:
    """The options with the picture's own tags: those beside it, else the tagger's."""
    tags = settings.text_of(source)
    if tags is None and tagger is not None:
        tags = tagger.tags(read_picture(source).rgb, host=host)[0]
    return options if tags is None else replace(options, tags=tags)


def _restore_file(
    job: Job, texts: dict[str, str], sessions: Sequence[Session], args: argparse.Namespace, page: HtmlReport | None
) -> Restored:
    picture, analyzer = read_picture(job.source), sessions[0].analyzer
    faces, model = None, sessions[0].model
    if args.aligned and model.identities:
        height, width = picture.rgb.shape[-2:]
        faces = faces_of_aligned(height, width, len(picture.rgb), model.identities[0])
    elif analyzer is not None:
        height, width = picture.rgb.shape[-2:]
        faces = analyzer.detect(
            picture.rgb, looked_for(model.painter, height, width, detection_options(args))
        )
    if page is not None and faces is not None:
        page.faces_are(job.source, faces)
    if faces is not None and args.person:
        names = [identity.name for identity in sessions[0].model.identities]
        faces = with_overrides(faces, "\n".join(args.person), names, missing=True)
    # references are not shared: pictures of many sizes would fill the memory with them
    result = restore_by_several(picture.rgb, [replace(each, references={}) for each in sessions], faces)
    alpha = None if picture.alpha is None else resize(picture.alpha, *result.report.output_size)
    if picture.frames > 1:
        result.report.notes.append(f"the file has {picture.frames} frames: the first was restored")
    result.report.notes.extend(picture.notes)
    manner = manner_of(picture, args, texts)
    return Restored(result.report, partial(write_picture, rgb=result.image, alpha=alpha, manner=manner))
