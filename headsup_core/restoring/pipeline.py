"""The main job: plan -> enlarge -> encode -> one UNet call a tile -> blend -> decode -> colour -> crop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..errors import InputError
from ..faces import FaceAnalyzer, Faces
from ..host import Host, PlainHost
from ..identity.identity import Identity
from ..image_files import check_image
from ..imaging.published import Prepared
from ..models.one_step import OneStepModel
from .finishing import finished, opacity_of
from .headsup_model import HeadsUpModel
from .options import SEEDS, RestoreOptions
from .people.face_painter import looked_for
from .people.gatekeeper import Gatekeeper, gatekeeper_of, score_lines, score_records
from .people.painting import Painting
from .people.recognise import FOR_PEOPLE, People, recognise, recogniser_for
from .people.tracking import FaceTracker
from .prompting import prompts_of, with_texts
from .resolving import Resolved, resolve
from .restore_report import RestoreReport
from .session import Run, Session
from .stages import STAGES, Restored
from .tiling.aligned_crops import restore_faces
from .tiling.beginning_again import with_memory
from .tiling.own_tiles import faces_note, restore_around_faces
from .tiling.tiled_run import Tiling
from .toned import Tones


@dataclass(frozen=True)
class RestoreResult:
    """`image` and `before` (the plain enlargement), both `[B,3,H,W]` in 0..1 on the CPU, and what was done.

    `faces` are those that were given or found, in pixels of `image`; with people, each has its name and similarity.
    """

    image: torch.Tensor
    before: torch.Tensor
    report: RestoreReport
    faces: Faces | None = None


def restore(
    image: torch.Tensor,
    model: HeadsUpModel | Sequence[HeadsUpModel],
    options: RestoreOptions | None = None,
    *,
    faces: Faces | None = None,
    people: Sequence[Identity] = (),
    analyzer: FaceAnalyzer | None = None,
    host: Host | None = None,
    **shortcuts: Any,  # noqa: ANN401 - each field of RestoreOptions has its own type
) -> RestoreResult:
    """Restore and enlarge pictures with a one-step model.

    Args:
        image: `[B,3,H,W]`, float, 0..1.
        model: from `load_model`; or several, the preferred one first: each face is taken from the result that is most
            like its person and still explains the picture, and the report says whose that was (`several_models`).
        options: size, tiles, strength and so on; None: the defaults.
        faces: of `image`, from a face analyzer. Tiles are planned around them, and faces that are larger or smaller
            than the model was trained on, or larger than a tile, are restored in tiles of their own. Models of aligned
            faces: each is cut, restored and laid back over the plain enlargement; without faces such a model takes a
            square picture for one. With people: who may be whom; a face that has an `identity` keeps it.
        people: who may be in the pictures, in place of the people that the handle knows; see
            `HeadsUpModel.with_identities` for strength and threshold.
        analyzer: finds the faces when there are people and no `faces`, and recognises them; None: that of `faces`, or
            the default one.
        host: device, memory, progress and cancelling; None: a `PlainHost`.
        shortcuts: fields of `RestoreOptions`, in place of those of `options`: `restore(image, model, scale=4)`.
            `prompt` and `tags` may be lists, one text for each picture.

    Nothing but these arguments decides a pixel, and with an automatic tile how much memory is free: the report has the
    options as they were resolved, which give the same bits again. The global random state is never touched.

    Raises:
        InputError: a picture or an option that cannot be used; the message has the numbers and the remedy.
    """
    options = replace(options or RestoreOptions(), **with_texts(shortcuts))
    host = host or PlainHost()
    models = [model] if isinstance(model, HeadsUpModel) else list(model)
    if not models:
        raise InputError("no model was given: give one, or several in a list")
    if people:
        models = [each.with_identities(people, each.identity_strength, each.match_threshold) for each in models]
    sessions = [Session(each, options, host, analyzer) for each in models]
    if options.frames and image.ndim == 4 and len(image) > 1:
        if len(sessions) > 1:
            raise InputError(f"frames of a video with {len(sessions)} models: give one model")
        return _restore_frames(image, replace(sessions[0], tracker=FaceTracker()), faces)
    if len(sessions) > 1:
        from .several_models import restore_by_several  # which goes by way of this module

        return restore_by_several(image, sessions, faces)
    return restore_pictures(image, sessions[0], faces)


def _restore_frames(image: torch.Tensor, session: Session, faces: Faces | None) -> RestoreResult:
    """Frame by frame, each with what is known of the faces from those before."""
    check_image(image)
    if faces is not None:
        faces.check_pictures(image)
    results: list[RestoreResult] = []
    for index, frame in enumerate(image.split(1)):
        options = session.options.for_picture(index)
        if results:  # frames must not differ because the free memory does
            options = _tiled_as(options, results[-1])
        own = None if faces is None else replace(faces, pictures=(faces[index],))
        results.append(restore_pictures(frame, replace(session, options=options), own))
    given = session.options
    own = {"prompt": given.prompt, "tags": given.tags, "texts": given.texts, "mask": given.mask}
    settled = _tiled_as(replace(results[0].report.options, **own), results[-1])
    report = replace(results[0].report, seconds=sum(one.report.seconds for one in results), options=settled)
    report.notes = list(dict.fromkeys(note for one in results for note in one.report.notes))
    for number, (one, earlier) in enumerate(zip(results[1:], results, strict=False), 2):
        if one.report.tile != earlier.report.tile:
            report.notes.append(f"tile {one.report.tile} from picture {number} on")
    for index, one in enumerate(results):
        report.identity_scores += [] if not index else one.report.identity_scores
        for name in ("faces", "gate", "sent_back"):
            lines = [f"picture {index + 1}, {line}" for line in getattr(one.report, name)]
            setattr(report, name, lines if not index else [*getattr(report, name), *lines])
    found = [one.faces for one in results]
    shown = None
    if found[0] is not None:
        shown = replace(found[0], pictures=tuple(() if one is None else one[0] for one in found))
    return RestoreResult(
        torch.cat([one.image for one in results]), torch.cat([one.before for one in results]), report, shown
    )


def _tiled_as(options: RestoreOptions, other: RestoreResult) -> RestoreOptions:
    """`options` with the tiles that `other` was made of."""
    used = other.report.options
    return replace(options, tile=used.tile, overlap=used.overlap, tile_batch=used.tile_batch)


@torch.no_grad()
def restore_pictures(image: torch.Tensor, session: Session, faces: Faces | None = None) -> RestoreResult:
    """`restore()` in a session, which calls can share. Raises as there."""
    started = time.perf_counter()
    check_image(image)
    if faces is not None:
        faces.check_pictures(image)
    session.options.check_texts(len(image))
    model, options = session.one_step, session.options
    if faces is None and _looks_for_faces(session, image):
        wanted = looked_for(session.model.painter, image.shape[-2], image.shape[-1], FOR_PEOPLE)
        faces = recogniser_for(None, session.analyzer, session.host).detect(image, wanted)
    if session.tracker is not None and faces is not None:
        knower = recogniser_for(faces, session.analyzer, session.host) if session.model.identities else None
        faces = session.tracker.follow(faces, image, knower)
    chosen = resolve((len(image), image.shape[-2], image.shape[-1]), model, options, session.host, faces)
    notes: list[str] = []
    prompts = prompts_of(model, options, len(image), notes)
    notes += chosen.notes
    small = image.float().cpu().clamp(0, 1)
    prepared = chosen.way.prepare(small, *chosen.asked_size)
    tones = Tones.of(small)
    before = tones.apply(prepared.reference)
    report = RestoreReport(
        model=session.model.name,
        input_size=chosen.input_size,
        output_size=chosen.output_size,
        options=chosen.filled_in(options),
        notes=notes,
    )
    shown = None if faces is None else faces.scaled_to(*before.shape[-2:])
    opacity = opacity_of(options, before)
    if isinstance(opacity, torch.Tensor) and options.strength > 0 and not bool(opacity.any()):
        notes.append("the mask is black everywhere: only enlarged; what is to be restored is white in it")
    if not bool(torch.as_tensor(opacity).any()):
        report.output_size = (before.shape[-2], before.shape[-1])
        return RestoreResult(before, before, report, shown)
    people = recognise(image, before, session, faces, notes)
    if people is not None:
        if session.tracker is not None:
            session.tracker.learn(people.faces)
        shown = people.faces.scaled_to(*before.shape[-2:])
    painting = Painting.of(people, session, (before.shape[-2], before.shape[-1]), notes)
    gatekeeper = gatekeeper_of(people, session)
    with session.host.progress(STAGES * chosen.calls) as progress:
        run = Run(
            model,
            session.host,
            progress,
            prompts[0],
            strength=session.model.identity_strength,
            with_plain=gatekeeper is not None,
            references=session.references,
            single=options.reference_call == "single",
        )
        batch = _Batch(small, before, prepared, chosen, people, gatekeeper, tones, painting, prompts)
        restored, tilings = _through_networks(batch, run, options)
    output = prepared.finish(tones.apply(finished(restored, before, report.options, opacity)))
    if gatekeeper is not None:
        shown = gatekeeper.scored(output, before)
        report.gate = score_lines(shown)
        report.identity_scores = score_records(shown)
        report.sent_back = score_lines(shown, sent_back=True)
    if people is not None and shown is not None:
        report.faces += people.lines(shown)
    _complete(report, chosen, tilings, model)
    report.seconds = time.perf_counter() - started
    return RestoreResult(output, before.clamp(0, 1), report, shown)


def _looks_for_faces(session: Session, image: torch.Tensor) -> bool:
    """Whether faces that were not given are needed: to know people, or since the model takes nothing else."""
    model, options = session.one_step, session.options
    cuts = model.size_rule.fixed and image.shape[-1] != image.shape[-2]  # a square picture is taken for a face
    return (bool(session.model.identities) or cuts) and options.strength > 0 and options.sizing == "pad"


@dataclass(frozen=True, eq=False)
class _Batch:
    """Pictures on their way: the input `[B,3,h,w]`, its enlargement, every choice, who is in them, and the prompts."""

    small: torch.Tensor
    before: torch.Tensor
    prepared: Prepared
    chosen: Resolved
    people: People | None
    gatekeeper: Gatekeeper | None
    tones: Tones
    painting: Painting | None
    prompts: Sequence[torch.Tensor]


def _through_networks(batch: _Batch, run: Run, options: RestoreOptions) -> tuple[torch.Tensor, list[Tiling]]:
    """The restored pictures `[B,3,H,W]`, picture by picture, and the tiling that worked for each."""
    prepared, chosen, tiling = batch.prepared, batch.chosen, batch.chosen.tiling
    settled: list[torch.Tensor] = []
    tilings: list[Tiling] = []
    for index, picture in enumerate(prepared.network.split(1)):
        noise = torch.Generator().manual_seed((options.seed + index) % SEEDS) if options.sample_posterior else None
        prompt = batch.prompts[index]
        here = replace(run, noise=noise, small=batch.small[index : index + 1], prompt=prompt)
        one = with_memory(_way_of(batch, index, picture), here, tiling, partial(_steps_from, chosen, index))
        tiling = one.tiling
        tilings.append(tiling)
        result = batch.tones.apply(prepared.settle(one.picture), index)
        this = slice(index, index + 1)
        painted = None
        if batch.painting is not None:
            painted = batch.painting.painted(index, result, batch.before[this], batch.tones, here)
        if batch.gatekeeper is not None and one.plain is not None:
            injected = None if one.plain is one.picture else result
            plain = result if one.plain is one.picture else batch.tones.apply(prepared.settle(one.plain), index)
            injected = injected if painted is None else painted
            result = batch.gatekeeper.choose(batch.small[this], batch.before[this], plain, injected)
        elif painted is not None:
            result = painted
        settled.append(result)
    return torch.cat(settled), tilings


def _way_of(batch: _Batch, index: int, picture: torch.Tensor) -> Callable[[Run, Tiling], Restored]:
    """What restores `picture` `[1,3,H,W]`, the batch's number `index` as it is encoded."""
    faces, around = batch.chosen.faces, batch.chosen.around
    if faces is not None:
        return partial(restore_faces, picture, faces[index])
    size = batch.prepared.reference.shape[-2:]
    known = {} if batch.people is None else batch.people.known(index, size, batch.prepared.margin)
    known = batch.tones.references(index, known, picture.shape[-2:])
    if batch.painting is not None:
        known = batch.painting.left_over(index, known)
    return partial(restore_around_faces, picture, () if around is None else around[index], known)


def _steps_from(chosen: Resolved, index: int, tiling: Tiling) -> int:
    """The share of the progress, from the picture `index` on."""
    return STAGES * replace(chosen, tiling=tiling).calls_from(index)


def _complete(report: RestoreReport, chosen: Resolved, tilings: Sequence[Tiling], model: OneStepModel) -> None:
    """Say in the report what tiles came of it."""
    tiling, last, way = tilings[-1], report.tile, ""
    for number, each in enumerate(tilings, 1):
        since = "" if number == 1 else f", from picture {number} on"
        if each.tile_pixels != last:
            last, before = each.tile_pixels, last
            report.notes.append(f"out of memory with tile {before}: begun again with tile {last}{since}")
        if each.codec_way != way:
            way = each.codec_way
            report.notes.append(f"codec: {way}{since}")
    if chosen.around is not None:
        report.notes.append(faces_note(chosen.around, model, tiling, *chosen.padded_size))
    ended = replace(chosen, tiling=tiling)
    report.options = ended.filled_in(report.options)
    report.tiles, report.work_ratio = len(ended.plan.tiles), ended.plan.work_ratio
