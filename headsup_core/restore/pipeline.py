"""The main job: plan -> enlarge -> encode -> one UNet call a tile -> blend -> decode -> colour -> crop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import InputError
from ..faces import Faces
from ..host import Host, PlainHost
from ..image_files import check_image
from ..imaging.color import COLOR_FIXES, apply_color_fix
from ..imaging.published import FaceSizing, PadSizing, PublishedSizing
from ..imaging.resizing import output_size, resize
from ..models.one_step import HeadsUpModel, OneStepModel
from .aligned import restore_faces
from .memory import auto_tile, auto_tile_batch, check_picture_fits, smallest_tile
from .report import RestoreReport
from .stages import STAGES, restore_picture
from .tiled import Tiling

DEFAULT_OVERLAP = 128
Sizing = Literal["pad", "published"]


@dataclass(frozen=True)
class RestoreResult:
    """`image` and `before` (the plain enlargement), both `[B,3,H,W]` in 0..1 on the CPU, and what was done."""

    image: torch.Tensor
    before: torch.Tensor
    report: RestoreReport


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
        faces: of `image`, from a face analyzer, for models that restore aligned faces: each is cut, restored and laid
            back over the plain enlargement. Without them such a model takes a square picture for one face.
        host: device, memory, progress and cancelling; None: a `PlainHost`.

    Raises:
        InputError: a picture or an option that cannot be used; the message has the numbers and the remedy.
    """
    started = time.perf_counter()
    check_image(image)
    host = PlainHost() if host is None else host
    one_step = model.one_step
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength {strength}: must be between 0 (plain enlargement) and 1")
    if sizing not in ("pad", "published"):
        raise InputError(f"sizing {sizing!r}: use pad or published")
    fix = one_step.default_color_fix if color_fix is None else color_fix
    if fix not in COLOR_FIXES:
        raise InputError(f"colour fix {fix!r} is unknown: choose {', '.join(COLOR_FIXES)}")
    if scale is None and not long_edge:
        scale = one_step.scale
    height, width = output_size(
        *image.shape[-2:], scale=scale, long_edge=long_edge or None, max_megapixels=max_megapixels or None
    )
    check_picture_fits(height, width, len(image))
    notes: list[str] = []
    hidden = _prompt_embeddings(one_step, prompt, tags, notes)
    found = _aligned_faces(one_step, faces, len(image), height, width, notes)
    way = _sizing(one_step, sizing, image, notes, by_faces=found is not None)
    prepared = way.prepare(image.float().cpu().clamp(0, 1), height, width)
    tiling = resolve_tiling(one_step, host, tile, overlap, tile_batch, prepared.multiple)
    factor = one_step.codec.factor
    report = RestoreReport(
        model=one_step.card.name,
        input_size=(image.shape[-2], image.shape[-1]),
        output_size=(prepared.reference.shape[-2], prepared.reference.shape[-1]),
        tile=tiling.tile_pixels,
        overlap=tiling.overlap_pixels,
        tile_batch=tiling.batch,
        color_fix=fix,
        strength=strength,
        seed=seed,
        notes=notes,
    )
    before, padded = prepared.reference, prepared.network
    if strength == 0:
        return RestoreResult(before, before, report)
    opacity = strength if mask is None else strength * _output_mask(mask, len(image), *before.shape[-2:])
    sides = padded.shape[-2:] if found is None else (one_step.aligned_face, one_step.aligned_face)
    plan = tiling.plan(sides[0] // factor, sides[1] // factor)
    restored: list[torch.Tensor] = []
    with host.progress(STAGES * len(plan.tiles) * (len(image) if found is None else found.count)) as progress:
        for index, picture in enumerate(padded.split(1)):
            noise = torch.Generator().manual_seed(seed + index) if sample_posterior else None
            if found is None:
                small = image[index : index + 1].float().cpu().clamp(0, 1)
                output, tiling = restore_picture(picture, one_step, hidden, tiling, host, progress, noise, small)
            else:
                output, tiling = restore_faces(picture, found[index], one_step, hidden, tiling, host, progress, noise)
            restored.append(output)
    fixed = apply_color_fix(prepared.settle(torch.cat(restored)), before, fix)
    output = prepared.finish((before + opacity * (fixed - before)).clamp(0, 1))
    report.output_size = (output.shape[-2], output.shape[-1])
    if tiling.tile_pixels != report.tile:
        notes.append(f"out of memory with tile {report.tile}: went on with tile {tiling.tile_pixels}")
    plan = tiling.plan(plan.height, plan.width)
    report.tile, report.overlap, report.tile_batch = tiling.tile_pixels, tiling.overlap_pixels, tiling.batch
    report.tiles, report.work_ratio = len(plan.tiles), plan.work_ratio
    report.seconds = time.perf_counter() - started
    return RestoreResult(output, before.clamp(0, 1), report)


def resolve_tiling(
    model: OneStepModel,
    host: Host,
    tile: int | None,
    overlap: int | None,
    tile_batch: int | None,
    multiple: int | None = None,
) -> Tiling:
    """Asked or automatic tile, overlap (output pixels) and batch as a `Tiling` in latents.

    Args:
        multiple: pixels that sizes are multiples of; None: the model's size rule.

    Raises:
        InputError: tile too small for the model, negative values, overlap >= tile.
    """
    multiple, factor = multiple or model.size_rule.multiple, model.codec.factor
    free = host.free_memory()
    if tile is not None and 0 < tile < multiple:
        raise InputError(f"tile {tile}: {model.card.name} needs at least {multiple} px, in steps of {multiple}")
    if (tile or 0) < 0 or (overlap or 0) < 0 or (tile_batch or 0) < 0:
        raise InputError(f"tile {tile}, overlap {overlap}, tile batch {tile_batch}: none may be negative")
    side = (tile or auto_tile(model, free)) // multiple * multiple
    shared = min(DEFAULT_OVERLAP, side // 4) if overlap is None else overlap
    if shared >= side:
        raise InputError(f"tile {side} with overlap {shared}: overlap must be below the tile size")
    batch = tile_batch or auto_tile_batch(model, side * side, free, host.device)
    return Tiling(
        tile=side // factor,
        overlap=-(-shared // multiple) * multiple // factor,
        multiple=multiple // factor,
        smallest=smallest_tile(model) // factor,
        factor=factor,
        batch=batch,
    )


def _aligned_faces(
    model: OneStepModel, faces: Faces | None, pictures: int, height: int, width: int, notes: list[str]
) -> Faces | None:
    """The faces to cut out, in pixels of the output; None when the model is to see whole pictures."""
    if faces is None:
        return None
    faces.check_batch(pictures)
    if not model.aligned_face:
        notes.append(f"{model.card.name} restores whole pictures: the faces were not used")
        return None
    if not all(len(found) for found in faces):
        notes.append(f"no face was found in some picture, where {model.card.name} leaves the plain enlargement")
    return faces.scaled_to(height, width)


def _sizing(
    model: OneStepModel, sizing: Sizing, image: torch.Tensor, notes: list[str], *, by_faces: bool
) -> PublishedSizing:
    if by_faces:
        if sizing == "published":
            raise InputError(f"sizing published: {model.card.name}'s script takes pictures of one face, give no faces")
        return PadSizing(model.size_rule.multiple, 0)
    square = image.shape[-2] == image.shape[-1]
    if model.aligned_face:
        taken = "a square picture is taken for one" if square else "the whole picture was restored all the same"
        notes.append(
            f"{model.card.name} restores aligned faces of {model.aligned_face} px and was given no faces: {taken}; "
            f"for a whole picture connect the faces (HeadsUp Detect Faces; in Python faces=)"
        )
    if sizing == "pad":
        if model.aligned_face and square:
            return FaceSizing(model.aligned_face, keep=False)
        return PadSizing(model.size_rule.multiple, model.size_rule.minimum, model.margin)
    if model.published is None:
        raise InputError(f"{model.card.name} has no published sizing of its own: use sizing pad")
    return model.published


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
