"""The tasks of headsup-tiny and what is asked of each: small portraits, large ones, and photos taken years apart."""

from __future__ import annotations

from .aims import ANY, BICUBIC, CRISP, ESRGAN, FAITHFUL, MODEL, REFERENCE, STRANGER, TODAY, Aim, Task

BEST_PEER = (BICUBIC, ESRGAN)
RECOGNISER = "cos_mobilefacenet"
"""In which the gain of a photo of years before was first measured; a file of that name must be given."""


def _reached_before(peers: tuple[str, ...], identity: float) -> tuple[Aim, ...]:
    """What the first model reached, at any setting of the slider; by default it loses little."""
    return (
        Aim(ANY, peers, "psnr_y", 0.8),
        Aim(ANY, peers, "ssim_y", 0.0),
        Aim(ANY, peers, "lpips", -0.15, relative=True),
        Aim(ANY, peers, "identity", identity),
        Aim(MODEL, (TODAY,), "psnr_y", -0.3),
    )


def _with_photo(identity: float) -> tuple[Aim, ...]:
    return (
        Aim(REFERENCE, (MODEL,), "psnr_y", -0.1),
        Aim(REFERENCE, (MODEL,), "ssim_y", 0.0),
        Aim(REFERENCE, (MODEL,), "lpips", 0.0, relative=True),
        Aim(REFERENCE, (MODEL,), "identity", identity),
        Aim(STRANGER, (MODEL,), "identity", identity, ceiling=True),
    )


MILD = (
    Aim(ANY, (BICUBIC,), "psnr_y", 0.0),
    Aim(ANY, (BICUBIC,), "ssim_y", 0.0),
    Aim(ANY, (ESRGAN,), "lpips", 0.0, relative=True),
    Aim(ANY, (BICUBIC,), "identity", -0.005),
    Aim(MODEL, (TODAY,), "psnr_y", -0.3),
)
"""Aims for a face that is hardly degraded: nothing is lost."""


def _large(peers: tuple[str, ...], niqe: float, photo: float) -> tuple[Aim, ...]:
    return (
        Aim(FAITHFUL, peers, "psnr_y", 0.8),
        Aim(FAITHFUL, peers, "ssim_y", 0.0),
        Aim(CRISP, (ESRGAN,), "lpips", -0.2, relative=True),
        Aim(CRISP, (), "niqe", niqe),
        Aim(MODEL, (ESRGAN,), "lpips", -0.15, relative=True),
        Aim(MODEL, peers, "psnr_y", 0.3),
        Aim(MODEL, peers, "identity", 0.05),
        Aim(REFERENCE, (MODEL,), "identity", photo),
        Aim(STRANGER, (MODEL,), "identity", photo, ceiling=True),
    )


def _years_apart(gain: float, lpips: float) -> tuple[Aim, ...]:
    return (
        Aim(FAITHFUL, (TODAY,), "psnr_y", 0.0),
        Aim(FAITHFUL, (TODAY,), "ssim_y", 0.0),
        Aim(CRISP, (TODAY,), "lpips", -0.2, relative=True),
        Aim(MODEL, (TODAY,), "lpips", -0.12, relative=True),
        Aim(MODEL, (TODAY,), "psnr_y", -0.3),
        Aim(MODEL, (TODAY,), "identity", 0.05),
        Aim(REFERENCE, (MODEL,), RECOGNISER, gain),
        Aim(REFERENCE, (MODEL,), "psnr_y", -0.3),
        Aim(REFERENCE, (MODEL,), "lpips", lpips, relative=True),
    )


SECOND_ORDER, X8, X4_MILD = ("x4, second-order", "realesrgan"), ("x8", "x8"), ("x4 mild", "x4-mild")
SMALL_PORTRAITS = (
    Task(*SECOND_ORDER, (*_reached_before((ESRGAN,), 0.05), *_with_photo(0.04))),
    Task(*X8, (*_reached_before(BEST_PEER, 0.04), *_with_photo(0.06))),
    Task(*X4_MILD, MILD),
)
"""Faces whose eyes are about 76 px apart."""
LARGE_PORTRAITS = (
    Task(*SECOND_ORDER, _large((ESRGAN,), 7.0, 0.06)),
    Task(*X8, _large(BEST_PEER, 7.5, 0.08)),
    Task(*X4_MILD, MILD),
)
"""Faces whose eyes are about 158 px apart."""
YEARS_APART = (Task(*SECOND_ORDER, _years_apart(0.18, 0.0)), Task(*X8, _years_apart(0.27, -0.1)))
"""Two photos of each person, taken years apart; each is the other's reference."""
LARGE = 800
"""Portraits whose longer side has at least so many pixels are large."""
NO_PORTRAITS = Aim(MODEL, (BICUBIC,), "psnr_y", -0.3, region="whole")
"""The aim for pictures without faces, for each degradation."""


def portrait_tasks(size: int) -> tuple[Task, ...]:
    """Those of portraits whose longer side has `size` px."""
    return LARGE_PORTRAITS if size >= LARGE else SMALL_PORTRAITS
