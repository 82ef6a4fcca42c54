"""Padding a picture to the size a network takes, and cropping its output back. Nothing is ever stretched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import InputError


def add_margin(image: torch.Tensor, margin: int) -> torch.Tensor:
    """`image` `[B,C,H,W]` continued by `margin` pixels on each side: mirrored, repeated along a side that is too short.

    Convolutions see zeros beyond a picture's border and paint specks there; with a margin they do so outside of it.
    """
    height, width = image.shape[-2:]
    for size, amounts in ((width, (margin, margin, 0, 0)), (height, (0, 0, margin, margin))):
        if margin:
            image = F.pad(image, amounts, mode="reflect" if margin < size else "replicate")
    return image


@dataclass(frozen=True)
class Crop:
    """The part of a padded picture that is picture: `height` rows and `width` columns, behind `margin` of each."""

    height: int
    width: int
    margin: int = 0

    def apply(self, image: torch.Tensor, scale: int = 1) -> torch.Tensor:
        """Cut the padding off `image` `[..., H, W]`, which is `scale` times as large as when it was padded."""
        start = self.margin * scale
        return image[..., start : start + self.height * scale, start : start + self.width * scale]


def pad_to_multiple(image: torch.Tensor, multiple: int, minimum: int = 0) -> tuple[torch.Tensor, Crop]:
    """Pad `image` `[B,C,H,W]` at the right and bottom, so that both sides are multiples and not below `minimum`.

    Each axis is mirrored where it is longer than its padding, else its last row or column is repeated.

    Returns:
        The padded picture (the same tensor when it fits already) and the `Crop` that undoes it.

    Raises:
        InputError: `multiple` is below 1 or a side is 0.
    """
    height, width = image.shape[-2:]
    if multiple < 1 or height < 1 or width < 1:
        raise InputError(f"cannot pad {width}x{height} to multiples of {multiple}: all must be at least 1")
    for across, size in ((True, width), (False, height)):
        extra = -(-max(size, minimum) // multiple) * multiple - size
        if extra:
            amounts = (0, extra, 0, 0) if across else (0, 0, 0, extra)
            image = F.pad(image, amounts, mode="reflect" if extra < size else "replicate")
    return image, Crop(height, width)
