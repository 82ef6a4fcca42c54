"""Peak memory and time of a restoration, from what tiles of the model were measured to cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ...models.one_step import OneStepModel
from ..resolving import Resolved
from ..tiling.own_tiles import side_by_side
from ..tiling.tile_memory import (
    FLOAT,
    PictureSizes,
    bytes_per_pixel,
    codec_bytes_per_pixel,
    fits_in_parts,
    part_side,
    parts_bytes,
    parts_help,
    picture_memory,
    unet_bytes_per_pixel,
)
from .calibration import Calibration
from .workload import Workload


@dataclass(frozen=True)
class Peak:
    """Bytes at one moment, and where they lie: pictures and parts in main memory, activations on the device."""

    pictures: float
    activations: float = 0.0
    parts: float = 0.0


def peaks(
    model: OneStepModel,
    options: Resolved,
    work: Workload,
    known: Calibration | None,
    pictures: int,
    device: torch.device,
) -> tuple[Peak, Peak]:
    """The fullest moment of main memory, and of the device's; on a CPU they are the same.

    Not counted: what an observer of the whole picture computes in, and a face analyzer.
    """
    height, width = options.network_size
    in_parts = _in_parts(model, options, device)
    padded = options.padded_size[0] * options.padded_size[1]
    asked = options.asked_size[0] * options.asked_size[1]
    with_plain = bool(work.people)
    sizes = PictureSizes(padded, asked, pictures)
    held = picture_memory(model, sizes, options.color_fix, in_parts=in_parts, with_plain=with_plain)
    tile = options.plan.tile_height * options.plan.tile_width * options.tiling.factor**2
    together = tile * min(options.tiling.batch, len(options.plan.tiles))
    whole = float(model.codec.parts_memory(height, width) or 0) if in_parts else 0.0
    part = part_side(options.tiling.tile_pixels, device)
    if known is None:
        codec = (float(codec_bytes_per_pixel(model, device) * together),) * 2
        if in_parts:
            parts = float(parts_bytes(model, height, width, part, device))
            codec = (parts, parts if model.codec.quick_decoder is None else codec[1])
        unet = float(unet_bytes_per_pixel(model) * together)
    else:
        codec = (known.encoder.bytes_at(together), known.decoder.bytes_at(together))
        if in_parts and known.parts is not None:
            parts = known.parts.bytes_at(part**2)
            codec = (parts, parts if model.codec.quick_decoder is None else codec[1])
        unet = known.unet.bytes_at(together)
    stages = [
        Peak(held.encode, codec[0], whole),
        Peak(held.denoise, unet),
        Peak(held.decode, codec[1], whole if model.codec.quick_decoder is None else 0.0),
        *_own_peaks(model, options, work, known, held.encode, device),
    ]
    if device.type == "cpu":
        fullest = _fullest([*stages, Peak(held.others)])
        return fullest, fullest
    main = _fullest([*(Peak(peak.pictures, 0.0, peak.parts) for peak in stages), Peak(held.others)])
    return main, _fullest(Peak(0.0, peak.activations) for peak in stages)


def _own_peaks(
    model: OneStepModel,
    options: Resolved,
    work: Workload,
    known: Calibration | None,
    before: float,
    device: torch.device,
) -> list[Peak]:
    """While faces' own tiles are restored, in strips of one size, beside the restored picture."""
    network = FLOAT * 3 * options.padded_size[0] * options.padded_size[1]
    found: list[Peak] = []
    for here in work.own:
        sides = [one.side for one in here]
        for side in set(sides):
            together = side**2 * min(sides.count(side), side_by_side(options.tiling, side).batch)
            strips = FLOAT * (3 + 3 + 1) * side**2 * sides.count(side)  # cut out, and the decoder's sums
            computed = bytes_per_pixel(model, device) * together if known is None else known.tile_bytes(together)
            found.append(Peak(before + network + strips, computed))
    return found


def _in_parts(model: OneStepModel, options: Resolved, device: torch.device) -> bool:
    helpful = parts_help(len(options.plan.tiles), *options.network_size, options.tiling.tile_pixels, device)
    return helpful and fits_in_parts(model, *options.network_size)


def _fullest(found: Iterable[Peak]) -> Peak:
    return max(found, key=lambda peak: peak.pictures + peak.activations + peak.parts)


def seconds(
    known: Calibration, options: Resolved, work: Workload, model: OneStepModel, device: torch.device
) -> tuple[float, float | None]:
    """Seconds of the networks: without people, and what known faces add at most (None: unknown for lack of faces).

    Tiles in batches take as long as one by one, or less. Known faces add UNet calls, a reference for each person,
    encoded, and the decoder once more, for the identity gate.
    """
    plan, factor = options.plan, options.tiling.factor
    tile = plan.tile_height * plan.tile_width * factor**2
    height, width = options.network_size
    encoding, decoding = (stage.seconds_at(tile) * work.tiles for stage in (known.encoder, known.decoder))
    if known.parts is not None and _in_parts(model, options, device):
        area = height * width * options.runs
        encoding = known.parts.encode_seconds * area
        decoding = decoding if model.codec.quick_decoder is not None else known.parts.decode_seconds * area
    own = [one.side**2 for here in work.own for one in here]
    own_seconds = sum(
        stage.seconds_at(pixels) for pixels in own for stage in (known.encoder, known.unet, known.decoder)
    )
    alone = encoding + decoding + known.unet.seconds_at(tile) * work.tiles + own_seconds
    if work.further_tiles is None:
        return alone, None
    if not work.further_tiles:
        return alone, 0.0
    references = known.encoder.seconds_at(tile) * work.people
    again = decoding + sum(known.decoder.seconds_at(pixels) for pixels in own)
    return alone, known.unet.seconds_at(tile) * work.further_tiles + references + again


def weights_bytes(model: OneStepModel) -> int:
    """Bytes of the weights of all networks."""
    tensors: dict[int, torch.Tensor] = {}
    for network in model.networks:
        tensors.update({id(tensor): tensor for tensor in network.parameters()})
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
