"""Losses as pure functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange

from ...imaging.tints.chroma import luma_of

Embed = Callable[[torch.Tensor], torch.Tensor]
Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SMALLEST = 1e-3
"""An amplitude that nobody sees, a quarter of an 8-bit level: below it a fixed pattern hardly costs anything."""
NOISE_POWER = 0.002
"""The power of noise of one 8-bit level in a window of 32 pixels: less than that counts little."""


def squared_error(restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean squared error of pictures in 0..1, scalar, in the networks' range -1..1, where OSEDiff's and HeadsUp's
    weights are meant: four times that in 0..1."""
    return 4 * F.mse_loss(restored, truth)


def face_fidelity(
    restored: torch.Tensor,
    truth: torch.Tensor,
    lpips: Distance,
    lpips_weight: float = 0.8,
    shares: torch.Tensor | None = None,
) -> torch.Tensor:
    """HeadsUp's L_fid on aligned faces `[F,3,S,S]` in 0..1 (arXiv 2510.09924, 3.2), scalar.

    |x - gt|_2 + lam_LPIPS LPIPS(x, gt), the norm taken as the mean squared error that OSEDiff's L2 is.

    Args:
        lpips: distances `[F]` of two batches in 0..1.
        shares: how much each face counts, `[F]`; None: the mean over the faces.
    """
    errors = 4 * (restored - truth).square().flatten(1).mean(1)  # as `squared_error`
    return _weighed(errors + lpips_weight * lpips(restored, truth), shares)


def _weighed(each: torch.Tensor, shares: torch.Tensor | None) -> torch.Tensor:
    return each.mean() if shares is None else (each * shares).sum()


def hinge_critic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """What a critic minimises (Geometric GAN, arXiv 1705.02894): its scores, of any shape, above 1 on true pictures and
    below -1 on restored ones. Scalar."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def hinge_generator(fake: torch.Tensor) -> torch.Tensor:
    """L_adv of the restored pictures' scores: minus their mean, scalar."""
    return -fake.mean()


def identity_loss(
    embed: Embed,
    restored: torch.Tensor,
    truth: torch.Tensor,
    reference: torch.Tensor | None = None,
    known: torch.Tensor | None = None,
    shares: torch.Tensor | None = None,
    embed_reference: Embed | None = None,
) -> torch.Tensor:
    """HeadsUp's L_id on aligned faces `[B,3,h,w]` (arXiv 2510.09924, 3.2), scalar.

    -log((phi(x, gt) + 1) / 2) - phi(gt, ref) log((phi(x, ref) + 1) / 2), phi the cosine of `embed`'s vectors `[B,D]`.
    The reference's term counts as much as the reference is like the truth, and not at all without one or where
    phi(gt, ref) < 0.

    Args:
        known: `[B]`, 1 where there is a reference; None: everywhere.
        shares: how much each face counts, `[B]`; None: the mean over the faces.
        embed_reference: of the references, whose landmarks are others; None: the same.
    """
    vector, true = embed(restored), embed(truth).detach()
    loss = _surprise(F.cosine_similarity(vector, true))
    if reference is not None:
        other = (embed_reference or embed)(reference).detach()
        alike = F.cosine_similarity(true, other).clamp_min(0)
        if known is not None:
            alike = alike * known
        loss = loss + alike * _surprise(F.cosine_similarity(vector, other))
    return _weighed(loss, shares)


def _surprise(cosine: torch.Tensor) -> torch.Tensor:
    return -torch.log(((cosine + 1) / 2).clamp_min(1e-4))


def periodic_texture(error: torch.Tensor, period: int) -> torch.Tensor:
    """How much of `error` `[B,C,H,W]` repeats every `period` pixels: the fine grid that block decoders leave.

    The amplitude (root mean square) of what blocks of w x w neighbours have in common, each less its own mean, beyond
    what chance leaves of blocks that have nothing in common: m^2 - s^2 / w^2 for the mean m and the variance s^2 of a
    place of the block, averaged over places and windows, for w = 3 and 7. Without that correction all fine texture
    would cost something, and skin and hair would lack just the frequencies about the period. The small window sees
    patterns that follow an edge, the large one faint patterns over a flat area. About 0 for an error without a pattern
    of that period, scalar. H and W are multiples of `period`, at least 7 times as large.
    """
    blocks = F.pixel_unshuffle(error, period).unflatten(1, (error.shape[1], period**2))
    places = (blocks - blocks.mean(dim=2, keepdim=True)).flatten(1, 2)
    losses: list[torch.Tensor] = []
    for window in (3, 7):
        count = window**2
        square = F.avg_pool2d(places, window, stride=1).square()
        variance = (F.avg_pool2d(places.square(), window, stride=1) - square) * count / (count - 1)
        common = (square - variance / count).flatten(1).mean(1)
        losses.append((common.clamp_min(0) + SMALLEST**2).sqrt().mean() - SMALLEST)
    return torch.stack(losses).mean()


def colour_error(restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the colour differences R - G and B - G over blocks of 4x4 pixels, scalar.

    Perceptual losses hardly mind the hue of a few pixels, so irises and lips drift to teal and magenta without it.

    Args:
        restored, truth: `[B,3,H,W]` in 0..1.
    """
    error = F.avg_pool2d(restored - truth, 4)
    return (error[:, ::2] - error[:, 1:2]).abs().mean()


def spectrum_distance(restored: torch.Tensor, truth: torch.Tensor, side: int = 32) -> torch.Tensor:
    """How far the local power spectrum of pictures `[B,3,H,W]` in 0..1 is from the true one's, scalar from 0 on.

    The mean absolute difference of the logarithms of the luma's power, in windows of `side` pixels, averaged over 3 x 3
    windows that overlap by half (after the spectral regularisation of arXiv 2003.01826, here in places and directions).
    A network that hatches where hair and skin should be has peaks and gaps in it that the truth has not; where the
    detail lies makes no difference.
    """
    powers = [(_local_power(picture, side) + NOISE_POWER).log() for picture in (restored, truth)]
    return (powers[0] - powers[1]).abs().mean()


def _local_power(picture: torch.Tensor, side: int) -> torch.Tensor:
    """`[B,side*(side/2+1),h,w]`."""
    windows = luma_of(picture.float())[:, 0].unfold(1, side, side // 2).unfold(2, side, side // 2)
    hann = torch.hann_window(side, device=picture.device)
    centred = (windows - windows.mean(dim=(-2, -1), keepdim=True)) * hann[:, None] * hann
    power = torch.fft.rfft2(centred).abs().square()
    return F.avg_pool2d(rearrange(power, "b h w u v -> b (u v) h w"), 3, stride=2)
