"""Grey and tinted pictures stay grey and keep their tint, whatever a network paints into them.

A network that was trained on colour photos gives the irises of a grey portrait a colour, and a reference gives it pink
skin. In a picture that is grey, or whose colour depends on its brightness alone (sepia, a toned print, a faded scan),
colour is nothing that could be restored: what `Toning` keeps of a result is its brightness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

LUMA = (0.25, 0.5, 0.25)
"""Weights of R, G and B, as in YCoCg: blue counts for more than in BT.601, or light sepia, of which red and green are
at their end, would hardly differ in brightness."""
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
WINDOW, ROUNDING = 12 / 255, 0.75 / 255
"""Range of brightness over which a tint is averaged, and how far that may lie from what was found."""
TURN = 6 / 57.3
"""Radians by which the hue of a JPEG's tint turns at most from dark to bright, or it has not one hue."""
LARGE = 768
"""Longer side at which a picture is looked at, at most."""
REGION, REGION_NOISES, SQUARE, SQUARE_NOISES = 3 / 255, 2.5, 2.5 / 255, 4
"""And every region of three by three squares, and every square, by so much and so many times what half of them lie."""


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
    return _partly_grey(picture, spread) or _tint(picture)


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
    height, width = picture.shape[-2:]
    curve = _curve(picture)
    if curve is None:
        return None
    away = picture - curve.apply(picture)
    reach = float((curve.offsets.amax(1) - curve.offsets.amin(1)).max())
    if float(away.abs().amax(1).square().mean().sqrt()) > ROUGH + reach / 4:
        return None
    squares = F.avg_pool2d(away, max(1, min(BLOCK, min(height, width) // LEAST_BLOCKS)))
    noise = float(squares.abs().amax(1).median())
    regions = F.avg_pool2d(squares, 3, 1, 1, count_include_pad=False)
    if noise > NOISE or float(regions.abs().max()) > REGION + REGION_NOISES * noise:
        return None
    return curve if float(squares.abs().max()) <= SQUARE + SQUARE_NOISES * noise else None


def _curve(picture: torch.Tensor) -> Toning | None:
    """The colour at each level of brightness that occurs; a neighbouring level may not stand out either."""
    brightness = luma_of(picture).flatten().double()
    low, high = float(brightness.min()), float(brightness.max())
    if high - low < LEAST_RANGE:
        return None
    offsets = (picture - luma_of(picture))[0].flatten(1).double()
    level = ((brightness - low) / (high - low) * LEVELS).long().clamp(max=LEVELS - 1)
    order = torch.argsort(level, stable=True)
    sizes = torch.bincount(level, minlength=LEVELS).tolist()
    lumas: list[torch.Tensor] = []
    colors: list[torch.Tensor] = []
    for here in order.split(sizes):
        if len(here):
            lumas.append(brightness[here].mean())
            colors.append(offsets[:, here].median(1).values)
    luma, found = torch.stack(lumas), torch.stack(colors, dim=1)
    found = F.pad(found[None], (1, 1), mode="replicate")[0].unfold(1, 3, 1).median(2).values
    smooth = _smoothed(luma, found, torch.tensor([len(here) for here in order.split(sizes) if len(here)]))
    # the weights of brightness leave nothing of an offset: what is added to grey changes its colour alone
    smooth = smooth - (smooth * torch.tensor(LUMA, dtype=torch.double)[:, None]).sum(0)
    return Toning(luma.float(), smooth.float())


def _around(luma: torch.Tensor, found: torch.Tensor, weights: torch.Tensor, window: float) -> torch.Tensor:
    """The mean of the levels within `window`, those nearer counting for more."""
    kernel = (1 - (luma[:, None] - luma[None]).abs() / window).clamp(min=0) * weights[None]
    return (found @ kernel.T) / kernel.sum(1)


def _one_hue(found: torch.Tensor, luma: torch.Tensor, weights: torch.Tensor, noise: float) -> torch.Tensor:
    """Offsets `[3,n]` of one hue, which all levels have together; as they are when the hue turns with brightness.

    JPEG's rounding turns the hue of single levels by many degrees, and their mean by less than two. Levels that lie
    farther than twice `noise` from that hue (what is cut off at white) stay as they are.
    """
    mean = (found * weights).sum(1)
    if float(mean.norm()) == 0:
        return found
    ahead = mean / mean.norm()
    aside = torch.linalg.cross(ahead, torch.tensor(LUMA, dtype=torch.double))
    along, across = ahead @ found, aside @ found / aside.norm()
    strength = weights * along.clamp(min=0) ** 2
    angle, total = torch.atan2(across, along.clamp(min=1e-9)), strength.sum().clamp(min=1e-12)
    around = luma - (strength * luma).sum() / total
    turn = (strength * around * angle).sum() / (strength * around**2).sum().clamp(min=1e-12)
    if float(turn.abs() * (luma[-1] - luma[0])) > TURN:
        return found
    hue = (strength * angle).sum() / total
    direction = ahead * torch.cos(hue) + aside / aside.norm() * torch.sin(hue)
    one = torch.hypot(along, across) * direction[:, None]
    return torch.where((found - one).abs().amax(0) <= 2 * noise, one, found)


def _smoothed(luma: torch.Tensor, found: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Offsets `[3,n]` freed of 8 bits' rounding, which turns the hue of dark and of pale colours by degrees.

    A level takes the colour of one multiplied tint (brightness times a constant) where that lies within rounding or
    noise of what was found, else the mean of its surroundings where that does, else what was found.
    """
    weights = counts.double()
    around = _around(luma, found, weights, WINDOW)
    noise = 2 * float((found - around).abs().amax(0).median())
    if noise <= ROUNDING:
        noise = ROUNDING
        result = torch.where((found - around).abs().amax(0) <= noise, around, found)
    else:  # JPEG's: no single level can be trusted
        wide = _around(luma, found, weights, 4 * WINDOW)
        found = torch.where((wide - around).abs().amax(0) <= noise, wide, around)
        result = found = _one_hue(found, luma, weights, noise)
    fits = torch.ones_like(luma, dtype=torch.bool)
    constant = torch.zeros_like(found[:, :1])
    for _ in range(3):  # without what is cut off at white
        strength = weights * fits * luma
        constant = (found * strength).sum(1, keepdim=True) / (strength * luma).sum().clamp(min=1e-9)
        fits = (found - constant * luma).abs().amax(0) <= noise
    return torch.where(fits, constant * luma, result)
