"""How much memory pictures and tiles take, and the largest tile that fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...errors import InputError
from ...host import Host
from ...imaging.color import FIXES
from ...models.codecs.exact_parts import LEAST_SIDE
from ...models.one_step import OneStepModel
from ..plan.calibration import Calibration

AUTO_TILE_LIMIT = 1024
"""Largest automatic tile side in output pixels: beyond it a tile gets neither faster nor better."""

ACTIVATIONS_KEPT = 6
"""Full-resolution activation maps alive at once in a decoder's last level, measured on the CPU allocator; of
AutoencoderKL on a GPU, too."""

LIVE_MAPS = {"BlockTransformAutoencoder": 2, "AutoencoderTiny": 3}
"""The same of smaller codecs on a GPU, where convolutions keep no reordered copies, by live tensors."""

PART_MAPS_KEPT = 5
"""Maps of a part alive at once, likewise."""

PICTURES_KEPT = 9
"""Values of three pictures beside these maps."""

ATTENDED_KEPT, CONVOLVED_KEPT = 26, 16
"""Maps of the first level alive at once in a UNet that attends there (its feed-forward layers are eight times as wide),
and in one that does not, measured by live tensors (tests/core/test_fake_device.py)."""

SKIPS_KEPT = 2
"""Further maps for skip connections: the encoder's activations of all sizes and their convolution."""

MEMORY_SHARE = 0.6
"""Share of the free memory that activations may take; the rest is for the pictures and other programs."""

CALIBRATED_SHARE = 0.7
"""The same where the model was measured; pictures that lie in the same memory have been taken off before."""

PART_SIDE = 256
"""Pixels a side of the codec's parts on a CPU, where larger ones are no faster and take more memory."""

PREVIEW_SIDE = 384
"""Longest side in pixels of the preview of a picture in work."""

FLOAT = 4
MIX_COPIES = 3
"""The colour-fixed picture and two of the terms of before + opacity * (fixed - before)."""


def bytes_per_pixel(model: OneStepModel, device: torch.device) -> int:
    """Peak activation memory of one output pixel in the widest of the three stages."""
    return max(codec_bytes_per_pixel(model, device), unet_bytes_per_pixel(model))


def codec_bytes_per_pixel(model: OneStepModel, device: torch.device) -> int:
    """Peak activation memory of one output pixel in encoder and decoder."""
    config: Any = model.codec.vae.config
    widths = getattr(config, "block_out_channels", None) or config.decoder_block_out_channels
    width = max(widths[0], widths[1] // 2 if len(widths) > 1 else 0)
    kept = ACTIVATIONS_KEPT if device.type == "cpu" else LIVE_MAPS.get(type(model.codec.vae).__name__, ACTIVATIONS_KEPT)
    if model.codec.skips is not None:
        kept += SKIPS_KEPT
    pictures = 0 if kept == ACTIVATIONS_KEPT else PICTURES_KEPT
    return (width * kept + pictures) * model.dtype.itemsize


def parts_bytes(model: OneStepModel, height: int, width: int, side: int, device: torch.device) -> int:
    """Peak activation memory of encoder and decoder over parts of `side` px of a picture of `height` x `width` px."""
    config: Any = model.codec.vae.config
    kept = ACTIVATIONS_KEPT if device.type == "cpu" else PART_MAPS_KEPT
    largest = 0
    for level, channels in enumerate(config.block_out_channels):
        seen = max(LEAST_SIDE, side >> level)  # deep levels are not cut finer
        largest = max(largest, channels * min(seen, height >> level) * min(seen, width >> level))
    return largest * kept * model.dtype.itemsize


def unet_bytes_per_pixel(model: OneStepModel) -> int:
    """Peak activation memory of one output pixel in the UNet."""
    config: Any = model.unet.config
    attends = "CrossAttn" in getattr(config, "down_block_types", ("",))[0]
    kept = ATTENDED_KEPT if attends else CONVOLVED_KEPT
    return config.block_out_channels[0] * kept * model.dtype.itemsize // model.codec.factor**2


@dataclass(frozen=True)
class Room:
    """What automatic tiles may take.

    Attributes:
        free_bytes: on the device.
        calibration: what was measured of the model; None: a cautious guess from the networks' widths.
    """

    free_bytes: int
    device: torch.device
    calibration: Calibration | None = None

    @classmethod
    def of(cls, host: Host) -> Room:
        """All that is free on the host's device."""
        return cls(host.free_memory(), host.device)


def auto_tile(model: OneStepModel, room: Room, multiple: int | None = None) -> int:
    """The largest tile side in output pixels that fits into the room, a multiple of the size rule.

    Never below the smallest tile that can be blended (twice the model's trained size would be better; said in the
    report when memory forces less).

    Args:
        multiple: pixels that sizes are multiples of; None: the model's size rule.
    """
    if model.size_rule.fixed:
        return model.size_rule.minimum
    multiple = multiple or model.size_rule.multiple
    most, least = (AUTO_TILE_LIMIT + 2 * model.margin) // multiple * multiple, smallest_tile(model)
    if room.calibration is None:
        side = int((room.free_bytes * MEMORY_SHARE / bytes_per_pixel(model, room.device)) ** 0.5)
        return max(least, min(most, side) // multiple * multiple)
    allowed = room.free_bytes * CALIBRATED_SHARE
    sides = range(most, least, -multiple)
    return next((side for side in sides if activation_bytes(room.calibration, side, room.device) <= allowed), least)


def activation_bytes(calibration: Calibration, side: int, device: torch.device) -> float:
    """Peak memory of the networks for a tile of `side` output pixels, as an independent tile or as a part."""
    parts = 0.0 if calibration.parts is None else calibration.parts.bytes_at(part_side(side, device) ** 2)
    return max(calibration.tile_bytes(side * side), parts)


def part_side(tile_pixels: int, device: torch.device) -> int:
    """Side in pixels of the codec's parts beside tiles of `tile_pixels`."""
    return min(PART_SIDE, tile_pixels) if device.type == "cpu" else tile_pixels


def smallest_tile(model: OneStepModel) -> int:
    """Below this a tile would be mostly border: four steps of the size rule, and the rule's minimum."""
    if model.size_rule.fixed:
        return model.size_rule.minimum
    return max(4 * model.size_rule.multiple, model.size_rule.minimum)


def auto_tile_batch(model: OneStepModel, tile_side: int, room: Room) -> int:
    """Tiles per network call: one on a CPU (batches are no faster there), up to eight on a GPU."""
    if room.device.type == "cpu":
        return 1
    if room.calibration is None:
        fitting = int(room.free_bytes * MEMORY_SHARE / (bytes_per_pixel(model, room.device) * tile_side**2))
    else:
        needed = activation_bytes(room.calibration, tile_side, room.device)
        fitting = int(room.free_bytes * CALIBRATED_SHARE / needed)
    return max(1, min(8, fitting))


@dataclass(frozen=True)
class PictureMemory:
    """Main memory that `restore()` takes for pictures and latents, without what the networks compute with.

    Attributes:
        encode, denoise, decode: while that stage's tiles are computed.
        others: most of what is taken between the stages: sizing, blending, colour fix, mixing.
    """

    encode: float
    denoise: float
    decode: float
    others: float

    @property
    def peak(self) -> float:
        return max(self.encode, self.denoise, self.decode, self.others)


@dataclass(frozen=True)
class PictureSizes:
    """Pixels of the padded and of the plain enlargement of one picture, and how many pictures there are."""

    network_pixels: int
    output_pixels: int
    pictures: int = 1


def picture_memory(
    model: OneStepModel, sizes: PictureSizes, color_fix: str, *, in_parts: bool, with_plain: bool = False
) -> PictureMemory:
    """What is alive in `restore()` besides the caller's input, in fp32.

    Args:
        in_parts: whether encoder and decoder run over parts, which need no sums of tiles.
        with_plain: whether the picture without people is decoded as well.
    """
    network_pixels, output_pixels, pictures = sizes.network_pixels, sizes.output_pixels, sizes.pictures
    network, plain = FLOAT * 3 * network_pixels, FLOAT * 3 * output_pixels
    latent = FLOAT * model.codec.channels * network_pixels / model.codec.factor**2
    weights = FLOAT * network_pixels / model.codec.factor**2
    given = pictures * (plain + (0 if network_pixels == output_pixels else network))  # one tensor without padding
    earlier = (pictures - 1) * plain + (network if pictures > 1 else 0)  # settled, and the last as it was decoded
    kept = given + earlier + (network if with_plain else 0)
    moments = 2 * latent  # mean and deviation, alive to the end
    sums = FLOAT * network_pixels + network + FLOAT * 3 * min(network_pixels, PREVIEW_SIDE**2)
    decode = kept + moments + latent
    ended = given + pictures * plain  # all settled, as one tensor
    mixing = pictures * plain * max(MIX_COPIES, FIXES[color_fix].copies)
    return PictureMemory(
        encode=kept + (network if in_parts else moments + weights),  # parts are given -1..1, a copy
        denoise=kept + moments + latent + weights,
        decode=decode + (network if in_parts else sums),
        others=max(ended + mixing, decode + sums + network),
    )


def parts_help(tiles: int, height: int, width: int, tile_pixels: int, device: torch.device) -> bool:
    """Whether parts do more for a picture of `height` x `width` px than one run of the codec.

    They do for several tiles, whose statistics would differ, and for one that is much larger than a part, which takes
    more memory.
    """
    return tiles > 1 or max(height, width) > 2 * part_side(tile_pixels, device)


def fits_in_parts(model: OneStepModel, height: int, width: int) -> bool:
    """Whether encoder and decoder can run exactly over the parts of a picture of `height` x `width` px."""
    import psutil

    needed = model.codec.parts_memory(height, width)
    return needed is not None and needed <= psutil.virtual_memory().available * MEMORY_SHARE


def check_picture_fits(height: int, width: int, images: int) -> None:
    """Raise `InputError` when the pictures alone (not the networks) would not fit into main memory.

    Kept at once per image: the enlarged input, the summed tiles, their weights and the result, in fp32.
    """
    import psutil

    needed = images * height * width * 4 * (3 + 3 + 1 + 3)
    free = psutil.virtual_memory().available
    if needed > free:
        fits = (free / needed) ** 0.5
        raise InputError(
            f"the output of {images} x {width}x{height} px needs {needed / 2**30:.1f} GiB of main memory, "
            f"{free / 2**30:.1f} GiB are free: enlarge by {fits:.2f} of that at most, or set a megapixel cap of "
            f"{height * width * fits**2 / 1e6:.0f}"
        )


def check_batch_fits(height: int, width: int, images: int) -> None:
    """Raise `InputError` when the results of a batch that is worked picture by picture would not fit into main memory.

    Kept of each are the result and the plain enlargement, in fp32; of the one in work what `check_picture_fits` says.
    """
    import psutil

    pixels, free = height * width, psutil.virtual_memory().available
    needed = pixels * FLOAT * (images * (3 + 3) + 3 + 3 + 1 + 3)
    if needed > free:
        fits = max(0, (free // (pixels * FLOAT) - 10) // 6)
        raise InputError(
            f"{images} results of {width}x{height} px need {needed / 2**30:.1f} GiB of main memory, {free / 2**30:.1f} "
            f"GiB are free: give {fits} at a time, or restore files, which takes the memory of one picture: "
            "python -m headsup_core upscale frames/ --output restored/ --frames"
        )
