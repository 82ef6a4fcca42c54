"""The main job: plan -> enlarge -> encode -> one UNet call a tile -> blend -> decode -> colour -> crop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from ..faces import FaceAnalyzer, Faces
from ..host import Host, PlainHost
from ..identity.identity import Identity
from ..image_files import check_image
from ..imaging.color import apply_color_fix
from ..imaging.resizing import resize
from ..models.one_step import OneStepModel
from .aligned_crops import restore_faces
from .headsup_model import HeadsUpModel
from .own_tiles import faces_note, restore_around_faces
from .people.conditions import Conditions, KnownFace, UprightReferences
from .people.gate import GateMode, check_mode
from .people.gatekeeper import gatekeeper_of, score_lines, score_records
from .people.recognise import FOR_PEOPLE, recognise, recogniser_for
from .resolving import Sizing, resolve
from .restore_report import RestoreReport
from .stages import STAGES


@dataclass(frozen=True)
class RestoreResult:
    """`image` and `before` (the plain enlargement), both `[B,3,H,W]` in 0..1 on the CPU, and what was done.

    `faces` are those that were given or found, in pixels of `image`; with people, each has its name and similarity.
    """

    image: torch.Tensor
    before: torch.Tensor
    report: RestoreReport
    faces: Faces | None = None


@torch.no_grad()
def restore(
    image: torch.Tensor,
    model: HeadsUpModel,
    scale: float | None = None,
    *,
    long_edge: int | None = None,
    max_megapixels: float | None = None,
    prompt: str | torch.Tensor | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    tile_batch: int | None = None,
    color_fix: str | None = None,
    strength: float = 1.0,
    mask: torch.Tensor | None = None,
    seed: int = 0,
    sample_posterior: bool = False,
    tags: str | None = None,
    sizing: Sizing = "pad",
    faces: Faces | None = None,
    identities: Sequence[Identity] = (),
    analyzer: FaceAnalyzer | None = None,
    identity_gate: GateMode = "on",
    references: UprightReferences | None = None,
    host: Host | None = None,
) -> RestoreResult:
    """Restore and enlarge pictures with a one-step model.

    Args:
        image: `[B,3,H,W]`, float, 0..1.
        model: from `load_model`.
        scale: enlargement; None with no `long_edge`: the model's own (4).
        long_edge: instead of `scale`, the longer side of the output in pixels.
        max_megapixels: shrinks the output to at most this many megapixels; None or 0: no cap.
        prompt: text, or embeddings `[1,n,D]`; None: the model's default.
        tile: largest tile side in output pixels, None or 0: the largest that fits the free memory.
        overlap: least overlap of neighbouring tiles in output pixels; None: 128, or a quarter of the tile.
        tile_batch: tiles per network call; None or 0: chosen by device and memory.
        color_fix: none, adain, wavelet or lab, on the whole image; None: the model's default.
        strength: output = before + strength * mask * (restored - before); 0 is bit-equal to the enlargement.
        mask: `[B or 1,1,h,w]` in 0..1, resized to the output; 1 = restore. None: everywhere.
        seed: for `sample_posterior`; the global random state is never touched.
        sample_posterior: draw the latent from the codec's posterior as the published systems do, instead of its mean.
        tags: comma-separated words for what the picture shows, from any tagger, for systems that want them.
        sizing: "pad" gives exactly the asked size; "published" enlarges, sizes and rounds as the system's own script
            does, for comparison with it; the result may then have another size.
        faces: of `image`, from a face analyzer. Tiles are planned around them, and faces that are larger or smaller
            than the model was trained on, or larger than a tile, are restored in tiles of their own. Models of aligned
            faces: each is cut, restored and laid back over the plain enlargement; without faces such a model takes a
            square picture for one. With people: who may be whom; a face that has an `identity` keeps it.
        identities: people who may be in the pictures, in place of the handle's; see `HeadsUpModel.with_identities` for
            strength and threshold.
        analyzer: finds the faces when there are people and no `faces`, and recognises them; None: that of `faces`, or
            the default one.
        identity_gate: "on": each face of a known person is scored, and falls back to the restoration without the
            person, then to the plain enlargement, when it is no longer like the person or itself (`people.gate`);
            "report": it is only scored; "off": neither.
        references: those of the people, encoded, which calls with one model and the same people share; filled here.
        host: device, memory, progress and cancelling; None: a `PlainHost`.

    Raises:
        InputError: a picture or an option that cannot be used; the message has the numbers and the remedy.
    """
    started = time.perf_counter()
    check_image(image)
    if faces is not None:
        faces.check_pictures(image)
    host = PlainHost() if host is None else host
    if identities:
        model = model.with_identities(identities, model.identity_strength, model.match_threshold)
    one_step = model.one_step
    check_mode(identity_gate)
    if faces is None and model.identities and strength > 0 and sizing == "pad":
        faces = recogniser_for(None, analyzer, host).detect(image, FOR_PEOPLE)
    options = resolve(
        (image.shape[-2], image.shape[-1]),
        len(image),
        one_step,
        host,
        scale,
        long_edge=long_edge,
        max_megapixels=max_megapixels,
        tile=tile,
        overlap=overlap,
        tile_batch=tile_batch,
        color_fix=color_fix,
        strength=strength,
        sizing=sizing,
        faces=faces,
    )
    notes: list[str] = []
    hidden = _prompt_embeddings(one_step, prompt, tags, notes)
    notes += options.notes
    prepared = options.way.prepare(image.float().cpu().clamp(0, 1), *options.asked_size)
    tiling, found = options.tiling, options.faces
    report = RestoreReport(
        model=one_step.card.name,
        input_size=options.input_size,
        output_size=options.output_size,
        tile=tiling.tile_pixels,
        overlap=tiling.overlap_pixels,
        tile_batch=tiling.batch,
        color_fix=options.color_fix,
        strength=strength,
        seed=seed,
        notes=notes,
    )
    before, padded = prepared.reference, prepared.network
    shown = None if faces is None else faces.scaled_to(*before.shape[-2:])
    if strength == 0:
        report.output_size = (before.shape[-2], before.shape[-1])
        return RestoreResult(before, before, report, shown)
    people = recognise(image, before, model, faces, analyzer, host, notes)
    if people is not None:
        shown = people.faces.scaled_to(*before.shape[-2:])
        report.faces += people.lines()
    gatekeeper = gatekeeper_of(people, model, identity_gate)
    upright: UprightReferences = {} if references is None else references

    def conditions(known: Sequence[KnownFace]) -> Conditions:
        return Conditions(known, one_step, host, model.identity_strength, upright)

    opacity = strength if mask is None else strength * _output_mask(mask, len(image), *before.shape[-2:])
    restored: list[torch.Tensor] = []
    with host.progress(STAGES * options.calls) as progress:
        for index, picture in enumerate(padded.split(1)):
            noise = torch.Generator().manual_seed(seed + index) if sample_posterior else None
            if found is None:
                small = image[index : index + 1].float().cpu().clamp(0, 1)
                one = restore_around_faces(
                    picture,
                    () if options.around is None else options.around[index],
                    one_step,
                    hidden,
                    tiling,
                    host,
                    progress,
                    noise,
                    small,
                    {} if people is None else people.known(index, before.shape[-2:], prepared.margin),
                    conditions,
                    with_plain=gatekeeper is not None,
                )
                output, plain, tiling = one.picture, one.plain, one.tiling
            else:
                output, tiling = restore_faces(picture, found[index], one_step, hidden, tiling, host, progress, noise)
                plain = output
            settled = prepared.settle(output)
            if gatekeeper is not None and plain is not None:
                injected = None if plain is output else settled
                plain = settled if plain is output else prepared.settle(plain)
                settled = gatekeeper.choose(before[index : index + 1], plain, injected)
            restored.append(settled)
    fixed = apply_color_fix(torch.cat(restored), before, options.color_fix)
    output = prepared.finish((before + opacity * (fixed - before)).clamp(0, 1))
    if gatekeeper is not None:
        shown = gatekeeper.scored(output, before)
        report.gate = score_lines(shown)
        report.identity_scores = score_records(shown)
    if tiling.tile_pixels != report.tile:
        notes.append(f"out of memory with tile {report.tile}: went on with tile {tiling.tile_pixels}")
    if options.around is not None:
        notes.append(faces_note(options.around, one_step, tiling, *padded.shape[-2:]))
    if tiling.codec_way:
        notes.append(f"codec: {tiling.codec_way}")
    plan = replace(options, tiling=tiling).plan
    report.tile, report.overlap, report.tile_batch = tiling.tile_pixels, tiling.overlap_pixels, tiling.batch
    report.tiles, report.work_ratio = len(plan.tiles), plan.work_ratio
    report.seconds = time.perf_counter() - started
    return RestoreResult(output, before.clamp(0, 1), report, shown)


def _prompt_embeddings(
    model: OneStepModel, prompt: str | torch.Tensor | None, tags: str | None, notes: list[str]
) -> torch.Tensor:
    if prompt is not None and not isinstance(prompt, str):
        width = model.prompt.width
        if not model.prompt.reads_text:
            notes.append(f"{model.card.name} was trained without prompts: the conditioning was ignored")
            return model.prompt.embeddings(None)
        if prompt.ndim != 3 or len(prompt) != 1 or prompt.shape[-1] != width:
            raise InputError(f"prompt embeddings are {tuple(prompt.shape)}, {model.card.name} needs [1, n, {width}]")
        return model.prompt.with_states(prompt)
    if (prompt or tags) and not model.prompt.reads_text:
        notes.append(f"{model.card.name} was trained without prompts: the text was ignored")
    return model.prompt.embeddings(prompt, tags)


def _output_mask(mask: torch.Tensor, images: int, height: int, width: int) -> torch.Tensor:
    """`mask` `[1 or B,1,h,w]` at the output's size."""
    if mask.ndim != 4 or mask.shape[1] != 1 or len(mask) not in (1, images):
        raise InputError(f"mask {tuple(mask.shape)}: expected [1 or {images}, 1, height, width]")
    return resize(mask.float().cpu().clamp(0, 1), height, width, "bicubic")
