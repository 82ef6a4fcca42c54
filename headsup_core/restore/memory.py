"""How much memory a tile takes, and the largest tile that fits."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from ..models.one_step import OneStepModel

AUTO_TILE_LIMIT = 1024
"""Largest automatic tile side in output pixels: beyond it a tile gets neither faster nor better."""

ACTIVATIONS_KEPT = 6
"""Full-resolution activation maps alive at once in a decoder's last level, measured on the CPU allocator."""

SKIPS_KEPT = 2
"""Further maps for skip connections: the encoder's activations of all sizes and their convolution."""

MEMORY_SHARE = 0.6
"""Share of the free memory that activations may take; the rest is for the pictures and other programs."""


def bytes_per_pixel(model: OneStepModel) -> int:
    """Peak activation memory of one output pixel in the widest of the three stages."""
    config: Any = model.codec.vae.config
    widths = getattr(config, "block_out_channels", None) or config.decoder_block_out_channels
    kept = ACTIVATIONS_KEPT if model.codec.skips is None else ACTIVATIONS_KEPT + SKIPS_KEPT
    codec = max(widths[0], widths[1] // 2 if len(widths) > 1 else 0) * kept
    unet_config: Any = model.unet.config
    unet = unet_config.block_out_channels[0] * 2 * ACTIVATIONS_KEPT // model.codec.factor**2
    return max(codec, unet) * model.dtype.itemsize


def auto_tile(model: OneStepModel, free_bytes: int) -> int:
    """The largest tile side in output pixels that fits into `free_bytes`, a multiple of the model's size rule.

    Never below the smallest tile that can be blended (twice the model's trained size would be better; said in the
    report when memory forces less).
    """
    if model.default_tile:
        return model.default_tile
    multiple = model.size_rule.multiple
    side = int((free_bytes * MEMORY_SHARE / bytes_per_pixel(model)) ** 0.5)
    return max(smallest_tile(model), min(AUTO_TILE_LIMIT + 2 * model.margin, side) // multiple * multiple)


def smallest_tile(model: OneStepModel) -> int:
    """Below this a tile would be mostly border: four steps of the size rule, and the rule's minimum."""
    return max(4 * model.size_rule.multiple, model.size_rule.minimum)


def auto_tile_batch(model: OneStepModel, tile_pixels: int, free_bytes: int, device: torch.device) -> int:
    """Tiles per network call: one on a CPU (batches are no faster there), up to eight on a GPU."""
    if device.type == "cpu":
        return 1
    return max(1, min(8, int(free_bytes * MEMORY_SHARE / (bytes_per_pixel(model) * tile_pixels))))


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
