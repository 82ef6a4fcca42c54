"""The colour of each level of a tint, freed of what 8 bits and JPEG did to it.

Rounding turns the hue of a dark brown by degrees, and JPEG's blocks of colour that of any single level by ten. What
made the tint is simple: a multiplied colour, two inks, or three, cut off at white. The simplest of these that explains
the levels takes the place of them all; only a tint of which none does is smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LUMA = (0.25, 0.5, 0.25)
"""Weights of R, G and B, as in YCoCg: blue counts for more than in BT.601, or light sepia, of which red and green are
at their end, would hardly differ in brightness."""
WINDOW = 12 / 255
"""Range of brightness over which neighbouring levels are averaged."""
ROUNDING, EXACT = 0.45 / 255, 0.8 / 255
"""How far levels lie from a tint on average when nothing but 8 bits' rounding moved them, at most; and pixels from
their level."""
FARTHEST, MOST_LEVELS = 1.5 / 255, 0.9
"""And how far most of them lie, at most; and which share of the levels are most."""
NOISES, LEAST_NOISE = 1.25, 1 / 255
"""So many times their noise levels may lie from a tint on average, where JPEG moved them; and the least such noise."""
SIMPLER = 2.0
"""A multiplied tint is preferred to two inks that lie at most so many times nearer, and may lie so much farther."""
KNOTS = 12
"""Places at which the middle one of three inks is looked for."""
CLIPPED, BLACK = 0.985, 0.004
"""Values beyond these may have been cut off."""
CUT_SHARE = 1e-4
"""Least share of pixels that lie beyond the point at which a tint would be cut off, to take it for cut off."""
STEPS = 512
"""Levels of the result."""
TURN = 6 / 57.3
"""Radians by which the hue of a JPEG's tint turns at most from dark to bright, or it has not one hue."""
TWO_INKS, STRONG = 3 / 255, 16 / 255
"""How far the smoothed colours of levels lie from a tint of two inks on average, at most, where noise moved the pixels,
white is white and the strongest colour so strong. Measured at x4 and x8 on portraits before white, of which only skin
is coloured, and which would be taken for a tint where noise hides what lips and cheeks have of their own: 20 of 21 lie
by 3.5 to 14 of 255 from it. What tints have a white, gamma by channel, are weaker (4 to 14)."""
BRIGHTEST, WHITE = 0.1, 1 / 3
"""White is white where this share of the pixels, the brightest, has so little of the largest colour of any level."""
ONE_HUE = 0.97
"""Least share of the pixels that must lie within noise of a tint of one hue."""


@dataclass(frozen=True, eq=False)
class Levels:
    """What was found: `luma` `[n]` ascending in 0..1, `offsets` `[3,n]` (R - Y, G - Y, B - Y), `weights` `[n]`, the
    shares of pixels; all double; and `spread`, how far a pixel lies from its level on average."""

    luma: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor
    spread: float = 0.0

    def apart(self, offsets: torch.Tensor) -> float:
        """How far `offsets` `[3,n]` lie from those found, on average."""
        return float(((self.offsets - offsets).abs().amax(0) * self.weights).sum())

    def around(self, window: float) -> torch.Tensor:
        """The mean `[3,n]` of the levels within `window`, those nearer counting for more."""
        kernel = (1 - (self.luma[:, None] - self.luma[None]).abs() / window).clamp(min=0) * self.weights[None]
        return (self.offsets @ kernel.T) / kernel.sum(1)


def tint_curve(levels: Levels) -> tuple[torch.Tensor, torch.Tensor]:
    """The tint that these levels show: `luma` `[m]` ascending and the offsets `[3,m]` there, of which the weights of
    brightness leave nothing; both in fp32."""
    curve = _curve(levels)
    return curve.luma.float(), curve.offsets.float()


def is_bent(levels: Levels) -> bool:
    """Whether noisy levels are far from every tint of two inks, and their brightest without colour: what is bent so
    is a colour picture, and no tint, whose paper has a colour."""
    if levels.spread <= EXACT:
        return False
    near = levels.around(WINDOW)
    apart, colour = _reach(near - _inks(levels, constant=True).at(levels.luma)), _reach(near)
    bright = levels.weights.flip(0).cumsum(0).flip(0) <= BRIGHTEST
    bright[-1] = True
    white, most = float((colour * levels.weights)[bright].sum() / levels.weights[bright].sum()), float(colour.max())
    return float((apart * levels.weights).sum()) > TWO_INKS and most > STRONG and white < WHITE * most


def _reach(offsets: torch.Tensor) -> torch.Tensor:
    return offsets.amax(0) - offsets.amin(0)


def _curve(levels: Levels) -> _Inks:
    near = levels.around(WINDOW)
    noise = max(2 * float((levels.offsets - near).abs().amax(0).median()), LEAST_NOISE)
    exact = levels.spread <= EXACT
    one, two = _inks(levels), _inks(levels, constant=True)
    several = one.apart(levels) > SIMPLER * two.apart(levels)
    if _explains(two if several else one, levels, noise if several else SIMPLER * noise, exact=exact):
        return two if several else one
    if exact:
        return _Inks(levels.luma, _balanced(near))
    wider = _wider(levels, noise)
    smooth = _one_hue(levels, wider, noise)
    if smooth is not None:
        return _Inks(levels.luma, _balanced(smooth))
    three = _three_inks(levels)
    if _explains(three, levels, noise, exact=False):
        return three
    return _Inks(levels.luma, _balanced(wider))


def _explains(inks: _Inks, levels: Levels, noise: float, *, exact: bool) -> bool:
    """Whether a tint lies as near the pixels as their noise; without noise near the rare levels, too."""
    if not exact:
        return inks.apart(levels) <= NOISES * noise
    near = (levels.offsets - inks.at(levels.luma)).abs().amax(0) <= FARTHEST
    return inks.apart(levels) <= ROUNDING and float(near.double().mean()) >= MOST_LEVELS


@dataclass(frozen=True, eq=False)
class _Inks:
    """A tint by the inks that made it: `luma` `[m]` ascending, `offsets` `[3,m]`."""

    luma: torch.Tensor
    offsets: torch.Tensor

    def at(self, luma: torch.Tensor) -> torch.Tensor:
        after = torch.searchsorted(self.luma, luma).clamp(1, len(self.luma) - 1)
        low, high = self.luma[after - 1], self.luma[after]
        share = ((luma - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
        return torch.lerp(self.offsets[:, after - 1], self.offsets[:, after], share)

    def apart(self, levels: Levels) -> float:
        """How far the levels lie from it, on average."""
        return levels.apart(self.at(levels.luma))

    def hue_held(self, luma: torch.Tensor) -> torch.Tensor:
        """As `at`, paler where that would leave 0..1."""
        offsets = self.at(luma)
        return offsets * ((1 - luma) / offsets.amax(0).clamp(min=1e-6)).clamp(0, 1)


def _three_inks(levels: Levels) -> _Inks:
    """The nearest tint of three inks, for whatever brightness of the middle one."""
    low, high = float(levels.luma[0]), float(levels.luma[-1])
    best, inks, step = low, _inks(levels, constant=True), (high - low) / KNOTS
    tried = [low + step * index for index in range(1, KNOTS)]
    for _ in range(2):
        for knot in tried:
            here = _inks(levels, constant=True, knot=knot)
            if here.apart(levels) < inks.apart(levels):
                best, inks = knot, here
        tried = [best + step * part / 4 for part in (-3, -2, -1, 1, 2, 3)]
    return inks


def _columns(luma: torch.Tensor, *, constant: bool, knot: float | None) -> torch.Tensor:
    """`[n,p]`: what offsets are a sum of."""
    parts = [luma]
    parts += [torch.ones_like(luma)] if constant else []
    parts += [] if knot is None else [(luma - knot).clamp(min=0)]
    return torch.stack(parts, dim=1)


def _inks(levels: Levels, *, constant: bool = False, knot: float | None = None) -> _Inks:
    """The tint nearest to the levels: one colour times brightness; `constant`: on a black that has a colour; `knot`:
    with another colour from that brightness on. Cut off at white where the levels are."""
    columns = _columns(levels.luma, constant=constant, knot=knot)
    colour = levels.luma + levels.offsets
    whole = (colour.amax(0) < CLIPPED) & (colour.amin(0) > BLACK)
    weights = known = levels.weights.sqrt() * whole
    found = torch.zeros(columns.shape[1], 3, dtype=torch.double)
    for _ in range(5):  # what stands out counts for less
        scaled = columns * weights[:, None]
        tiny = 1e-9 * torch.eye(columns.shape[1], dtype=torch.double)
        found = torch.linalg.solve(scaled.T @ columns + tiny, scaled.T @ levels.offsets.T)
        away = (levels.offsets - (columns @ found).T).abs().amax(0)
        usual = max(float(away[whole].median()) if bool(whole.any()) else 0.0, 0.3 / 255)
        weights = known / (1 + (away / (2 * usual)) ** 2)
    luma = torch.linspace(0, 1, STEPS, dtype=torch.double)
    offsets = _balanced((_columns(luma, constant=constant, knot=knot) @ found).T)
    return _cut_off(levels, luma, offsets)


def _cut_off(levels: Levels, luma: torch.Tensor, offsets: torch.Tensor) -> _Inks:
    """With values cut off at 0 and 1 as far as the picture goes; beyond, the hue holds."""
    held = _Inks(luma, offsets)
    beyond = luma[(luma + offsets).amax(0) > 1]
    there = levels.luma > (float(beyond[0]) if len(beyond) else 2.0)
    if float(levels.weights[there].sum()) < CUT_SHARE:
        return held
    slope = offsets[:, -1:] - offsets[:, -2:-1]
    more = torch.arange(1, STEPS, dtype=torch.double)
    luma = torch.cat([luma, 1 + more / (STEPS - 1)])
    offsets = torch.cat([offsets, offsets[:, -1:] + slope * more], dim=1)
    colour = (luma + offsets).clamp(0, 1)
    real = torch.tensor(LUMA, dtype=torch.double) @ colour
    steps = real.diff(prepend=real[:1] - 1) > 1e-9
    cut = _Inks(real[steps], (colour - real)[:, steps])
    bright = Levels(levels.luma[there], levels.offsets[:, there], levels.weights[there])
    return min(held, cut, key=lambda inks: bright.apart(inks.hue_held(bright.luma)))


def _balanced(offsets: torch.Tensor) -> torch.Tensor:
    return offsets - torch.tensor(LUMA, dtype=torch.double) @ offsets


def _one_hue(levels: Levels, smooth: torch.Tensor, noise: float) -> torch.Tensor | None:
    """Smoothed offsets `[3,n]` with the one hue that all levels have together; None when it turns with brightness."""
    luma, weights = levels.luma, levels.weights
    mean = (smooth * weights).sum(1)
    if float(mean.norm()) == 0:
        return smooth
    ahead = mean / mean.norm()
    aside = torch.linalg.cross(ahead, torch.tensor(LUMA, dtype=torch.double))
    aside = aside / aside.norm()
    along, across = ahead @ smooth, aside @ smooth
    strength = weights * along.clamp(min=0) ** 2
    angle, total = torch.atan2(across, along.clamp(min=1e-9)), strength.sum().clamp(min=1e-12)
    away = luma - (strength * luma).sum() / total
    turn = (strength * away * angle).sum() / (strength * away**2).sum().clamp(min=1e-12)
    if float(turn.abs() * (luma[-1] - luma[0])) > TURN:
        return None
    hue = (strength * angle).sum() / total
    one = along.clamp(min=0) * (ahead * torch.cos(hue) + aside * torch.sin(hue))[:, None]
    apart = (smooth - one).abs().amax(0)
    return one if float(weights[apart <= 2 * noise].sum()) >= ONE_HUE else None


def _wider(levels: Levels, noise: float) -> torch.Tensor:
    """Offsets `[3,n]` averaged over more levels where those lie within noise."""
    near, wide = levels.around(WINDOW), levels.around(4 * WINDOW)
    return torch.where((wide - near).abs().amax(0) <= noise, wide, near)
