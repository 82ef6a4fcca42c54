"""How a picture becomes what the network sees, and back: ours, and the ways of the published scripts.

Parity with a published system is measured with its own way: its interpolation, its 8-bit roundings, its final size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..errors import InputError
from .padding import Crop, add_margin, pad_to_multiple
from .resizing import resize

Step = Callable[[torch.Tensor], torch.Tensor]
_ROUNDING = 1e-3
"""Share of a level that fp32 may lose of a value that lies on a level already, before it is cut to 8 bits."""


@dataclass(frozen=True)
class Prepared:
    """A picture on its way through the networks; all `[B,3,H,W]` in 0..1.

    Attributes:
        network: what is encoded; sides are multiples of `multiple` pixels.
        reference: the plain enlargement, which the colour fix and the strength refer to.
        settle: the decoder's output (not clamped) -> the size of `reference`.
        finish: the colour-fixed picture -> the result.
        margin: pixels of `network` before the picture begins, at the left and at the top.
    """

    network: torch.Tensor
    reference: torch.Tensor
    multiple: int
    settle: Step
    finish: Step = lambda picture: picture
    margin: int = 0


class PublishedSizing(Protocol):
    """One system's way."""

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        """For `image` `[B,3,h,w]` in 0..1, of which `height` x `width` is asked for.

        An image on the meta device, without values, gives the sizes of everything.
        """
        ...


@dataclass(frozen=True)
class PadSizing:
    """Ours: bicubic to exactly the asked size, mirrored beyond the border and up to the size rule, then cropped."""

    multiple: int
    minimum: int
    margin: int = 0

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        before = resize(image, height, width)
        network, _ = pad_to_multiple(add_margin(before, self.margin), self.multiple, self.minimum)
        crop = Crop(height, width, self.margin)
        return Prepared(
            network, before, self.multiple, lambda picture: crop.apply(picture).clamp(0, 1), margin=self.margin
        )


@dataclass(frozen=True)
class PillowSizing:
    """OSEDiff and PiSA-SR: Pillow on 8 bits, bicubic, then Lanczos down to multiples of 8.

    An input with a side below process_size / scale is first enlarged, so that its shorter side has that many pixels.

    Args:
        resize_back: PiSA-SR resizes such a result to the asked size; OSEDiff leaves it larger.
    """

    process_size: int = 512
    resize_back: bool = False

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        scale = _whole_scale(image, height, width)
        least = self.process_size // scale
        side_h, side_w = image.shape[-2:]
        enlarged = min(side_w, side_h) < least
        factor = least / min(side_w, side_h) if enlarged else 1
        start = int(factor * side_w), int(factor * side_h)
        large = start[0] * scale, start[1] * scale
        size = large[0] // 8 * 8, large[1] // 8 * 8
        if 0 in size:
            raise InputError(f"published sizing gives {size[0]}x{size[1]} px: the picture is too small")

        def enlarge(picture: torch.Tensor) -> torch.Tensor:
            first = _to_pillow(picture)
            first = first.resize(start) if enlarged else first
            return _to_tensor(first.resize(large).resize(size, Image.Resampling.LANCZOS))

        if image.is_meta:
            network = image.new_empty(len(image), 3, size[1], size[0])
        else:
            network = torch.cat([enlarge(picture) for picture in image])

        def finish(picture: torch.Tensor) -> torch.Tensor:
            if not (enlarged and self.resize_back):
                return cut_to_8_bits(picture)
            if picture.is_meta:
                return picture.new_empty(len(picture), 3, height, width)
            back = [_to_pillow(one).resize((width, height)) for one in cut_to_8_bits(picture)]
            return torch.cat([_to_tensor(one) for one in back])

        return Prepared(network, network, 8, cut_to_8_bits, finish)


@dataclass(frozen=True)
class BilinearSizing:
    """S3Diff: bilinear, mirrored up to multiples of 64."""

    multiple: int = 64

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        before = F.interpolate(image, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)
        network, crop = pad_to_multiple(before, self.multiple)
        return Prepared(network, before, self.multiple, lambda picture: crop.apply(picture).clamp(0, 1), cut_to_8_bits)


@dataclass(frozen=True)
class BicubicSizing:
    """HYPIR: bicubic without antialiasing; a shorter side of at most `least` becomes `least`; padded with grey to 8.

    The restored picture is resized to the asked size (antialiased) before the colour fix.
    """

    least: int = 512

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        before = F.interpolate(image, (height, width), mode="bicubic", align_corners=False)
        inner_h, inner_w = height, width
        if min(height, width) <= self.least:
            inner_h = self.least if height <= width else int(height * (self.least / width))
            inner_w = self.least if width <= height else int(width * (self.least / height))
        network = before
        if (inner_h, inner_w) != (height, width):
            network = F.interpolate(before, (inner_h, inner_w), mode="bicubic", antialias=True)
        network = F.pad(network, (0, -inner_w % 8, 0, -inner_h % 8), value=0.5)  # 0 on the networks' -1..1

        def settle(picture: torch.Tensor) -> torch.Tensor:
            picture = picture[..., :inner_h, :inner_w]
            return F.interpolate(picture, (height, width), mode="bicubic", antialias=True)

        return Prepared(network, before, 8, settle, cut_to_8_bits)


@dataclass(frozen=True)
class FaceSizing:
    """OSDFace: a square picture, taken as an aligned face, becomes `side` x `side` (bilinear, corners on corners).

    Args:
        keep: give the result that size as the published script does; False: the asked size.
    """

    side: int = 512
    keep: bool = True

    def prepare(self, image: torch.Tensor, height: int, width: int) -> Prepared:
        network = image
        if image.shape[-2] == image.shape[-1]:
            network = F.interpolate(image, (self.side, self.side), mode="bilinear", align_corners=True)
        if not self.keep:
            before = resize(image, height, width)
            return Prepared(network, before, 8, lambda picture: resize(picture, height, width).clamp(0, 1))
        if odd := [size for size in network.shape[-2:] if size % 8]:
            raise InputError(f"published sizing keeps pictures that are not square, but a side of {odd[0]} px is no "
                             f"multiple of 8: cut the picture, or a square face out of it")
        return Prepared(network, network, 8, lambda picture: picture.clamp(0, 1), cut_to_8_bits)


def cut_to_8_bits(picture: torch.Tensor) -> torch.Tensor:
    """0..1 in steps of 1/255, cut off rather than rounded, as torchvision's `ToPILImage` does."""
    return (picture.clamp(0, 1) * 255 + _ROUNDING).floor() / 255


def _whole_scale(image: torch.Tensor, height: int, width: int) -> int:
    scale = round(height / image.shape[-2])
    if (image.shape[-2] * scale, image.shape[-1] * scale) != (height, width):
        raise InputError(
            f"sizing published enlarges by whole numbers, not {image.shape[-1]}x{image.shape[-2]} to {width}x{height}: "
            f"use scale {max(1, scale)}"
        )
    return scale


def _to_pillow(picture: torch.Tensor) -> Image.Image:
    levels = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def _to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
