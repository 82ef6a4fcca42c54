"""All that the pictures of an `upscale` share, and what is done with one of them once it was read."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ...errors import InputError
from ...faces import Faces
from ...faces.analyzer import AnalyzerBase
from ...host import Host, PlainHost
from ...identity.overrides import check_overrides, unmet_overrides, with_overrides
from ...idfsr.known_faces import faces_of_aligned, find_any_model
from ...image_files import Manner, Picture, write_picture
from ...imaging.resizing import resize
from ...models.codecs.quick_decoder import find_taesd
from ...models.loading import DEFAULT_MODEL, find_base, find_model_file
from ...models.tagging.tagger import Tagger
from ...restoring.options import RestoreOptions
from ...restoring.people.face_painter import looked_for
from ...restoring.people.tracking import FaceTracker
from ...restoring.restore_report import RestoreReport
from ...restoring.session import Session
from ...restoring.several_models import restore_by_several
from ..hosting import make_host
from ..identifying.analyzing import analyzer_if_there, detection_options, make_analyzer
from ..identifying.people_arguments import names_people, with_people
from ..option_arguments import given_arguments
from .batch import Restored
from .records import Settings
from .restoring import candidate_files, load_asked_model, load_candidates
from .result_files import lost_in_writing, manner_of
from .tag import load_asked_tagger


@dataclass(frozen=True, eq=False)
class RestoredPicture:
    """A restored picture that is not written yet.

    Attributes:
        image, alpha: `[1,3,H,W]` and, or None, `[1,1,H,W]`, in 0..1.
        manner: how it is to be written.
    """

    report: RestoreReport
    image: torch.Tensor
    alpha: torch.Tensor | None
    manner: Manner

    def to_file(self) -> Restored:
        """The same in the form that a batch of files wants."""
        return Restored(self.report, partial(write_picture, rgb=self.image, alpha=self.alpha, manner=self.manner))


@dataclass(frozen=True, eq=False)
class Prepared:
    """Sessions, and what their results depend on.

    Attributes:
        sessions: of the models, in order of preference.
        analyzer: finds the faces; None: nobody looks for any.
        tagger: tells the tags of pictures that have no text beside them.
        args: as they were typed.
    """

    sessions: Sequence[Session]
    settings: Settings
    host: PlainHost
    analyzer: AnalyzerBase | None
    tagger: Tagger | None
    args: argparse.Namespace

    def faces(self, picture: Picture) -> Faces | None:
        """Those of a picture, None when nobody looks for any."""
        model, (height, width) = self.sessions[0].model, picture.rgb.shape[-2:]
        if self.args.aligned and model.identities:
            return faces_of_aligned(height, width, len(picture.rgb), model.identities[0])
        if self.analyzer is None:
            return None
        wanted = looked_for(model.painter, height, width, detection_options(self.args))
        return self.analyzer.detect(picture.rgb, wanted)

    def restore(
        self, picture: Picture, faces: Faces | None, texts: Mapping[str, str], tags: str | None = None
    ) -> RestoredPicture:
        """Restore a picture that was read. Raises as `restore()`.

        Args:
            texts: are to be written into the result.
            tags: the picture's own; None: the tagger's, where there is one.
        """
        args, sessions = self.args, self.sessions
        if tags is None and self.tagger is not None:
            tags = self.tagger.tags(picture.rgb, host=self.host)[0]
        unmet: list[str] = []
        if faces is not None and args.person:
            names, told = [identity.name for identity in sessions[0].model.identities], "\n".join(args.person)
            unmet = unmet_overrides(faces, told, names)
            faces = with_overrides(faces, told, names, missing=True)
        if tags is not None:
            sessions = [replace(each, options=replace(each.options, tags=tags)) for each in sessions]
        if sessions[0].tracker is None:  # references of pictures of many sizes would fill the memory: not shared
            sessions = [replace(each, references={}) for each in sessions]
        result = restore_by_several(picture.rgb, sessions, faces)
        alpha = None if picture.alpha is None else resize(picture.alpha, *result.report.output_size)
        if picture.frames > 1:
            result.report.notes.append(f"the file has {picture.frames} frames: the first was restored")
        result.report.notes.extend([*picture.notes, *lost_in_writing(picture, args), *unmet])
        return RestoredPicture(result.report, result.image, alpha, manner_of(picture, args, texts))


def check_arguments(args: argparse.Namespace) -> RestoreOptions:
    """The options of a restoration. Raises `InputError` when arguments do not fit each other or are out of range."""
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
    if args.candidate and args.frames:
        raise InputError("--candidate with --frames: the faces of a video are followed through one model, give one")
    return RestoreOptions(**given_arguments(RestoreOptions, args))


def prepare(args: argparse.Namespace) -> Prepared:
    """Load the models, the analyzer, the tagger and the people that the arguments ask for. Raises as their loaders."""
    options, host = check_arguments(args), make_host(args)
    model = load_asked_model(args, host)
    others = load_candidates(args, host)
    cuts = any(each.one_step.aligned_face for each in (model, *others))
    analyzer: AnalyzerBase | None = None
    if names_people(args):
        analyzer = make_analyzer(args, host)
        model = with_people(model, args, analyzer)
        if args.aligned and len(model.identities) > 1:
            raise InputError(f"--aligned with {len(model.identities)} people: a face is one person's, name one")
        _check_people_told(args, [identity.name for identity in model.identities])
    elif args.faces and not args.aligned and options.sizing == "pad" and options.strength > 0:
        analyzer = make_analyzer(args, host) if cuts or others else analyzer_if_there(args, host)
    if args.aligned and model.painter is not None and options.scale is None and options.long_edge is None:
        options = replace(options, long_edge=model.painter.side)
    tracker = FaceTracker() if options.frames else None
    sessions = [Session(each, options, host, analyzer, tracker=tracker) for each in (model, *others)]
    reads = any(each.one_step.prompt.reads_text for each in (model, *others))
    tagger = load_asked_tagger(args.tagger, args.dape, host) if args.tagger is not None and reads else None
    settings = Settings.of(args, options, _model_files(args, host), sidecars=args.sidecars and reads)
    return Prepared(sessions, settings, host, analyzer, tagger, args)


def _check_people_told(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Say what is wrong with `--person` once, before any picture is looked at."""
    try:
        check_overrides("\n".join(args.person), names)
    except InputError as error:
        raise InputError(f"--person: {error}") from error


def _model_files(args: argparse.Namespace, host: Host) -> dict[str, Path]:
    """What the options that name a model mean."""
    named = {name: given for name in ("tagger", "dape") if (given := getattr(args, name)) is not None}
    others = {name: find_model_file(given, host) for name, given in named.items()} | candidate_files(args, host)
    if args.adapter is None:
        return {"model": find_any_model(args.model or DEFAULT_MODEL, host), **others}
    files = {"adapter": find_model_file(args.adapter, host), "base": find_base(args.base, host), **others}
    return files | ({"decoder": find_taesd(host)} if args.decoder == "taesd" else {})
