"""What a picture file holds, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InputError
from .color_profiles import WideGamut
from .photo_metadata import NO_METADATA, PhotoMetadata


@dataclass(frozen=True, eq=False)
class Picture:
    """The content of a picture file.

    Attributes:
        rgb: `[1,3,H,W]`, float32 in 0..1, sRGB. Below full transparency it holds the colours of what is
            visible around.
        alpha: `[1,1,H,W]` in 0..1, or None for a picture that is opaque.
        frames: in the file; the picture is the first.
        bits: per channel in the file, 8 or 16.
        metadata: EXIF, XMP and IPTC of the file.
        gamut: what sRGB cannot hold of a picture in a wider colour space; None for the others.
        notes: what was lost on the way, in words.
    """

    rgb: torch.Tensor
    alpha: torch.Tensor | None = None
    frames: int = 1
    bits: int = 8
    metadata: PhotoMetadata = NO_METADATA
    gamut: WideGamut | None = None
    notes: tuple[str, ...] = ()


def check_image(image: torch.Tensor) -> None:
    """Refuse what cannot be a picture; values outside 0..1 are the caller's to clamp.

    Raises:
        InputError: not a float tensor `[B,3,H,W]` with every side at least 1, or NaN or infinite values in it (their
            number and the index in the batch are named).
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(f"image is {image.dtype} {tuple(image.shape)}: must be float [B,3,H,W]")
    if 0 in image.shape:
        raise InputError(f"image {tuple(image.shape)} is empty: the batch and every side must be at least 1")
    for index, picture in enumerate(image):
        extremes = torch.stack(torch.aminmax(picture))  # NaN if one is: a third of the time of counting
        if not bool(extremes.isfinite().all()):
            bad = picture.numel() - int(picture.isfinite().sum())
            which = "the image" if len(image) == 1 else f"image {index} of the batch of {len(image)}"
            raise InputError(
                f"{which} has {bad} NaN or infinite values of {picture.numel()}: "
                "look at the step before; a VAE in half precision often does that"
            )
