"""The three tiled stages of one picture: encode, one UNet call, decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..errors import HeadsUpError
from ..host import Host
from ..imaging.resizing import resize
from ..imaging.tile_plan import Tile
from ..models.codecs.exact_parts import Parts
from ..models.one_step import Observation, OneStepModel
from .network_stages import codec_stages, told_unet_stage, unet_stage
from .people.conditions import Conditions, KnownFace
from .session import Run
from .tiling.tile_memory import PREVIEW_SIDE, bytes_per_pixel, fits_in_parts, part_side, parts_help
from .tiling.tiled_run import BeginAgainError, Tiling, run_tiled

RAN_OUT = "independent tiles, because exact parts ran out of memory"
STAGES = 3
"""Tiled passes over a picture."""


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored picture.

    Attributes:
        picture: `[1,3,H,W]`, not clamped.
        plain: what the model gives without conditions: the same tensor when nothing was conditioned; None unless asked.
        tiling: with which it was made, `codec_way` filled in.
    """

    picture: torch.Tensor
    plain: torch.Tensor | None
    tiling: Tiling


def restore_picture(picture: torch.Tensor, run: Run, tiling: Tiling, known: Sequence[KnownFace] = ()) -> Restored:
    """Restore an enlarged picture `[1,3,H,W]` in 0..1 whose sides follow the size rule.

    Args:
        known: what the model is told of faces, in pixels of `picture`.

    Raises:
        BeginAgainError: out of memory; with another tiling it may do.
        HeadsUpError: a network gave NaN or infinity.
    """
    model, host = run.model, run.host
    conditions = run.conditions(known)
    # the cautious guess also where the model was measured: a host that moves models gains nothing by a close fit
    needed = tiling.tile_pixels**2 * tiling.batch * bytes_per_pixel(model, host.device)
    observation = _observe(run, picture, needed)
    encode, decode = codec_stages(model, observation)
    host.load(model.codec.networks, needed)
    parts, way = _parts(run, picture, tiling)
    tiling = replace(tiling, codec_way=way)
    modulation = None if observation is None else observation.encoder

    def encode_whole(way: Parts) -> torch.Tensor:
        return torch.cat(model.codec.encode_in_parts(picture.to(model.dtype), way, modulation), dim=1)

    moments = _exact(encode_whole, parts, run, tiling)
    if moments is None:
        moments = run_tiled(encode, picture, tiling, host, run.progress)
    latent, deviation = moments.chunk(2, dim=1)
    if run.noise is not None:
        latent = latent + deviation * torch.randn(latent.shape, generator=run.noise)
    if conditions is None:
        denoise = unet_stage(model, run.prompt, observation)
    else:
        _encode_references(conditions, tiling, latent, host, needed)
        denoise = told_unet_stage(run, observation, conditions, needed)
    shown, previewer = (), None
    if model.codec.quick_decoder is not None:
        shown, previewer = model.codec.decoders, _latent_previewer(picture, model, host)
    host.load([*model.denoisers, *shown], needed)
    denoised = run_tiled(denoise, latent, tiling, host, run.progress, previewer)
    _check_finite(denoised, "the UNet", model)
    clean = denoised.split(model.codec.channels, dim=1)
    host.load(model.codec.decoders, needed)

    def decoded(latents: torch.Tensor) -> torch.Tensor:
        if model.codec.skips is not None:  # the decoder looks at the picture as well, cut into the same tiles
            latents = torch.cat([latents, F.pixel_unshuffle(picture, model.codec.factor)], dim=1)
        whole = None if model.codec.quick_decoder is not None else parts  # which sees only so far: tiles do as well
        restored = _exact(lambda way: model.codec.decode_in_parts(latents.to(model.dtype), way), whole, run, tiling)
        if restored is None:
            restored = run_tiled(decode, latents, tiling, host, run.progress, _previewer(picture))
        _check_finite(restored, "the decoder", model)
        return restored

    restored = decoded(clean[0])
    if not run.with_plain:
        return Restored(restored, None, tiling)
    if len(clean) == 1:
        return Restored(restored, restored, tiling)
    run.progress.grow(len(tiling.plan(latent.shape[-2], latent.shape[-1]).tiles))
    return Restored(restored, decoded(clean[1]), tiling)


def _encode_references(conditions: Conditions, tiling: Tiling, latent: torch.Tensor, host: Host, needed: int) -> None:
    """While the encoder is on the device anyway. What does not fit now is met again by the UNet's stage."""
    try:
        conditions.prepare(tiling.plan(latent.shape[-2], latent.shape[-1]).tiles, needed)
    except (RuntimeError, MemoryError) as error:
        if not host.is_out_of_memory(error):
            raise
    else:
        return
    host.release_memory()


def _parts(run: Run, picture: torch.Tensor, tiling: Tiling) -> tuple[Callable[[], Parts] | None, str]:
    """How encoder and decoder run over the parts of `picture` as over the whole; None when independent tiles must do.

    A small picture of one tile needs no parts, pictures side by side must not see each other, and a codec that sees
    only so far does as well in tiles. Where parts ran out of memory before they are not tried again.

    Returns:
        And which way that is, in words; "" when there is no choice.
    """
    model, host = run.model, run.host
    height, width = picture.shape[-2:]
    if tiling.published is not None and tiling.published.every_stage:
        return None, "independent tiles, as published"
    tiles = len(tiling.plan(height // tiling.factor, width // tiling.factor).tiles)
    needed = model.codec.parts_memory(height, width)
    if tiling.codec_way == RAN_OUT:
        return None, RAN_OUT
    helpful = parts_help(tiles, height, width, tiling.tile_pixels, host.device)
    if not helpful or tiling.within is not None or (needed is None and model.codec.receptive_radius is not None):
        return None, ""
    if tiles == 1 and (needed is None or not fits_in_parts(model, height, width)):
        return None, ""
    if needed is None:
        return None, "independent tiles, because the codec's skip connections are not computed in parts"
    if not fits_in_parts(model, height, width):
        return None, f"independent tiles, because exact parts need {needed / 2**30:.1f} GiB of main memory"

    def begin() -> Parts:
        done = 0

        def advance(share: float) -> None:
            nonlocal done
            run.progress.advance(int(share * tiles) - done)
            done = int(share * tiles)

        return Parts(part_side(tiling.tile_pixels, host.device), host.device, host.check_cancelled, advance)

    return begin, "exact over parts"


def _exact(
    compute: Callable[[Parts], torch.Tensor], begin: Callable[[], Parts] | None, run: Run, tiling: Tiling
) -> torch.Tensor | None:
    """What `compute` gives in parts, in fp32; None when there are none.

    Raises:
        BeginAgainError: memory ran out.
    """
    if begin is None:
        return None
    try:
        return compute(begin()).float()
    except (RuntimeError, MemoryError) as error:
        if not run.host.is_out_of_memory(error):
            raise
        raise BeginAgainError("exact parts", replace(tiling, codec_way=RAN_OUT)) from error


def _observe(run: Run, picture: torch.Tensor, needed: int) -> Observation | None:
    observer, device = run.model.observer, run.host.device
    if observer is None:
        return None
    run.host.load([observer.network], needed)
    return observer.observe((picture if run.small is None else run.small).to(device), picture.to(device))


def _previewer(picture: torch.Tensor) -> Callable[[Tile, torch.Tensor], torch.Tensor]:
    """A small copy of the picture `[3,h,w]` into which finished tiles are pasted."""
    height, width = picture.shape[-2:]
    reduction = max(1.0, max(height, width) / PREVIEW_SIDE)
    canvas = resize(picture, max(1, int(height / reduction)), max(1, int(width / reduction)), "area")[0].clone()

    def paste(tile: Tile, values: torch.Tensor) -> torch.Tensor:
        y0, x0 = int(tile.y0 / reduction), int(tile.x0 / reduction)
        y1 = min(canvas.shape[-2], max(y0 + 1, int(tile.y1 / reduction)))
        x1 = min(canvas.shape[-1], max(x0 + 1, int(tile.x1 / reduction)))
        canvas[:, y0:y1, x0:x1] = resize(values[None], y1 - y0, x1 - x0, "area")[0]
        return canvas

    return paste


def _latent_previewer(
    picture: torch.Tensor, model: OneStepModel, host: Host
) -> Callable[[Tile, torch.Tensor], torch.Tensor]:
    """The same of the UNet's tiles `[C or 2C,h,w]`, decoded by the quick decoder at about the size of the preview."""
    paste, factor, channels = _previewer(picture), model.codec.factor, model.codec.channels
    coarser = max(1, int(max(picture.shape[-2:]) / PREVIEW_SIDE))

    def show(tile: Tile, latent: torch.Tensor) -> torch.Tensor:
        small = F.avg_pool2d(latent[None, :channels], min(coarser, *latent.shape[-2:]), ceil_mode=True)
        decoded = model.codec.decode(small.to(host.device, model.dtype)).float().cpu()
        return paste(tile.scaled(factor), decoded[0].clamp(0, 1))

    return show


def _check_finite(values: torch.Tensor, part: str, model: OneStepModel) -> None:
    if not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise HeadsUpError(
            f"{part} of {model.card.name} gave {bad} NaN or infinite of {values.numel()} values in {model.dtype}: "
            f"load the model with dtype float32"
        )
