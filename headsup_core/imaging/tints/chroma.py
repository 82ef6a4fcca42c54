"""Grey and tinted pictures stay grey and keep their tint, whatever a network paints into them.

A network that was trained on colour photos gives the irises of a grey portrait a colour, and a reference gives it pink
skin. In a picture that is grey, or whose colour depends on its brightness alone (sepia, a toned print, a faded scan),
colour is nothing that could be restored: what `Toning` keeps of a result is its brightness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .tint_curves import LUMA, WINDOW, Levels, is_bent, tint_curve

GREY = 0.75 / 255
"""Channels that differ by less are equal: what 8 bits cannot tell apart."""
LEVELS = 128
"""Steps of brightness at which a tint is measured."""
LEAST_RANGE = 0.1
"""Least range of brightness; a picture that is flatter than this shows no curve of a tint."""
LEAST_SHARE = 0.2
"""Least share of a partly grey picture in mid-tones that is exactly grey; below, it is a colour photo with some grey
things."""
NEIGHBOURS = 5
"""A place is grey when so many pixels a side around it are."""
BLOCK, LEAST_BLOCKS = 8, 8
"""Side of the squares that are averaged, as JPEG averages colour; a small picture has at least so many a side."""
NOISE, ROUGH = 4 / 255, 8 / 255
"""How far colours may lie from the tint's: half of all squares by NOISE (JPEG's rounding), and pixels, by root mean
square, by ROUGH and a quarter of the tint's range, since JPEG blurs colour at edges of brightness."""
LARGE = 768
"""Longer side at which a picture is looked at, at most."""
REGION, REGION_NOISES, SQUARE, SQUARE_NOISES = 3 / 255, 2.5, 2.5 / 255, 4
"""And every region of three by three squares, and every square, by so much and so many times what half of them lie."""

ALIKE, COLOURED = 16, 40 / 255
"""Squares of about one brightness, of each of which a tenth that lies by so much from the middle one shows a colour
picture: twice what a square may lie from a tint at most."""


@dataclass(frozen=True, eq=False)
class Toning:
    """What the colour of a picture is.

    Attributes:
        luma: `[n]`, ascending in 0..1.
        offsets: `[3,n]`, R - Y, G - Y and B - Y at these; all 0 for grey.
        where: `[1,1,h,w]`, 1 where the picture is grey, 0 where it is coloured; None: it is so everywhere.
    """

    luma: torch.Tensor
    offsets: torch.Tensor
    where: torch.Tensor | None = None

    @property
    def is_grey(self) -> bool:
        """Whether there is no tint."""
        return not bool(self.offsets.any())

    def apply(self, picture: torch.Tensor) -> torch.Tensor:
        """`picture` `[B,3,H,W]` in 0..1, of any size, with the colours that belong to its brightness.

        Where it should be grey, R = G = B exactly. A picture that already is as it should be comes back as it is.
        """
        if self.is_grey and _spread(picture).max() == 0:
            return picture
        brightness = luma_of(picture)
        toned = brightness.expand_as(picture) if self.is_grey else self._tinted(brightness)
        if self.where is None:
            return toned
        share = F.interpolate(self.where, picture.shape[-2:], mode="bilinear", align_corners=False)
        return torch.where(share >= 1 - 1e-6, toned, torch.lerp(picture, toned, share))

    def _tinted(self, brightness: torch.Tensor) -> torch.Tensor:
        """Hue holds where the tint would leave 0..1: there the colour gets paler (towards grey of that brightness)."""
        offsets = torch.cat([self._offset(brightness, channel) for channel in range(3)], dim=1)
        above, below = offsets.amax(1, keepdim=True), -offsets.amin(1, keepdim=True)
        room = torch.minimum((1 - brightness) / above.clamp(min=1e-6), brightness / below.clamp(min=1e-6))
        return (brightness + offsets * room.clamp(0, 1)).clamp(0, 1)

    def _offset(self, brightness: torch.Tensor, channel: int) -> torch.Tensor:
        """Linear between the levels; beyond them as at the last one."""
        after = torch.searchsorted(self.luma, brightness.contiguous()).clamp(1, len(self.luma) - 1)
        low, high = self.luma[after - 1], self.luma[after]
        share = ((brightness - low) / (high - low)).clamp(0, 1)
        return torch.lerp(self.offsets[channel][after - 1], self.offsets[channel][after], share)

    def at(self, box: tuple[float, float, float, float], height: int, width: int) -> Toning | None:
        """What holds for a box (x0, y0, x1, y1) in pixels of a picture of that size; None where it is coloured."""
        if self.where is None:
            return self
        y, x = self.where.shape[-2] / height, self.where.shape[-1] / width
        x0, y0 = max(0, int(box[0] * x)), max(0, int(box[1] * y))
        inside = self.where[..., y0 : max(y0 + 1, round(box[3] * y)), x0 : max(x0 + 1, round(box[2] * x))]
        mostly = inside.numel() > 0 and float(inside.mean()) > 0.5
        return Toning(self.luma, self.offsets) if mostly else None


def luma_of(picture: torch.Tensor) -> torch.Tensor:
    """Brightness `[B,1,H,W]` of `[B,3,H,W]`: of grey exactly its value."""
    red, green, blue = picture.unbind(1)
    return (green + LUMA[0] * (red - green) + LUMA[2] * (blue - green))[:, None]


def toning_of(picture: torch.Tensor) -> Toning | None:
    """What the colour of one picture `[1,3,h,w]` in 0..1 is; None when it is a colour picture like any other.

    Grey: everywhere R = G = B. Tinted: the colour of squares and pixels is that of their brightness, but for what JPEG
    does to it. Partly grey (hand-coloured, mounted): a good part of the mid-tones is exactly grey.
    """
    spread = _spread(picture)
    if float(spread.max()) <= GREY:
        return Toning(torch.tensor([0.0, 1.0]), torch.zeros(3, 2))
    partly = _partly_grey(picture, spread)
    return partly if partly is not None or _plainly_coloured(picture) else _tint(picture)


def _spread(picture: torch.Tensor) -> torch.Tensor:
    """The difference `[B,1,H,W]` of the largest and the smallest channel."""
    return picture.amax(1, keepdim=True) - picture.amin(1, keepdim=True)


def _partly_grey(picture: torch.Tensor, spread: torch.Tensor) -> Toning | None:
    if float((spread <= GREY).float().mean()) < LEAST_SHARE:
        return None
    radius = NEIGHBOURS // 2
    around = F.max_pool2d(F.pad(spread, (radius,) * 4, mode="replicate"), NEIGHBOURS, 1)
    grey = around <= GREY
    brightness = luma_of(picture)
    # black and white are grey in every photo
    middle = grey & (brightness > 0.06) & (brightness < 0.94)
    if float(middle.float().mean()) < LEAST_SHARE:
        return None
    return Toning(torch.tensor([0.0, 1.0]), torch.zeros(3, 2), grey.float())


def _plainly_coloured(picture: torch.Tensor) -> bool:
    """Whether a tenth of all squares lie so far from the usual colour of their brightness that no tint can be left: a
    glance that spares most colour pictures the fit."""
    step = -(-max(picture.shape[-2:]) // LARGE)
    squares = F.avg_pool2d(picture[..., ::step, ::step], BLOCK) if min(picture.shape[-2:]) >= BLOCK * step else picture
    brightness = luma_of(squares).flatten()
    alike = len(brightness) // ALIKE * ALIKE
    if alike < LEAST_BLOCKS**2:
        return False
    order = torch.argsort(brightness)[:alike]
    offsets = (squares - luma_of(squares))[0].flatten(1)[:, order].unflatten(1, (-1, ALIKE))
    away = (offsets - offsets.median(2, keepdim=True).values).abs().amax(0).flatten()
    return float(away.kthvalue(len(away) * 9 // 10).values) > COLOURED


def _tint(picture: torch.Tensor) -> Toning | None:
    """The curve that the colour follows, or None when it does not follow any."""
    height, width = picture.shape[-2:]
    if min(height, width) < LEAST_BLOCKS:
        return None
    step = -(-max(height, width) // LARGE)
    found = _followed(picture[..., ::step, ::step])
    if found is None and min(height, width) >= 2 * BLOCK * LEAST_BLOCKS:
        found = _followed(F.avg_pool2d(picture, max(2, step)))  # what JPEG knows of colour
    return found


def _followed(picture: torch.Tensor) -> Toning | None:
    """The tint, where it or the mean of neighbouring levels explains the picture: single levels would follow any."""
    levels = _levels(picture)
    if levels is None or is_bent(levels):
        return None
    tint = Toning(*tint_curve(levels))
    around = Toning(levels.luma.float(), levels.around(WINDOW).float())
    reach = float((around.offsets.amax(1) - around.offsets.amin(1)).max())
    return tint if _explains(around, picture, reach) or _explains(tint, picture, reach) else None


def _explains(curve: Toning, picture: torch.Tensor, reach: float) -> bool:
    """Whether pixels, squares and regions lie near the colours of their brightness; `reach` is the tint's range."""
    height, width = picture.shape[-2:]
    away = picture - curve.apply(picture)
    if float(away.abs().amax(1).square().mean().sqrt()) > ROUGH + reach / 4:
        return False
    squares = F.avg_pool2d(away, max(1, min(BLOCK, min(height, width) // LEAST_BLOCKS)))
    noise = float(squares.abs().amax(1).median())
    regions = F.avg_pool2d(squares, 3, 1, 1, count_include_pad=False)
    if noise > NOISE or float(regions.abs().max()) > REGION + REGION_NOISES * noise:
        return False
    return float(squares.abs().max()) <= SQUARE + SQUARE_NOISES * noise


def _levels(picture: torch.Tensor) -> Levels | None:
    """The colour at each level of brightness that occurs; None when there are hardly any levels."""
    brightness = luma_of(picture).flatten().double()
    low, high = float(brightness.min()), float(brightness.max())
    if high - low < LEAST_RANGE:
        return None
    offsets = (picture - luma_of(picture))[0].flatten(1).double()
    level = ((brightness - low) / (high - low) * LEVELS).long().clamp(max=LEVELS - 1)
    order = torch.argsort(level, stable=True)
    places = [here for here in order.split(torch.bincount(level, minlength=LEVELS).tolist()) if len(here)]
    luma = torch.stack([brightness[here].mean() for here in places])
    found = torch.stack([offsets[:, here].median(1).values for here in places], dim=1)
    away = [float((offsets[:, here] - found[:, [at]]).abs().amax(0).sum()) for at, here in enumerate(places)]
    # a single level may not stand out
    found = F.pad(found[None], (1, 1), mode="replicate")[0].unfold(1, 3, 1).median(2).values
    shares = torch.tensor([len(here) for here in places], dtype=torch.double) / len(brightness)
    return Levels(luma, found, shares, sum(away) / len(brightness))
