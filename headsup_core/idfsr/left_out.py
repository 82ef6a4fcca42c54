"""Conditions left out, one by one: what a model without them makes, and how it learns to do without."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..faces.reference import EMPTY
from .conditioning import Seen

CONDITIONS = ("mask", "face", "reference", "sight", "identity")
"""What can be left out: the mask over the LR's face (I_M is the whole LR), or the face itself, where the model sees it
otherwise (I_M is masked, the paper's form); the reference (I_W is I_M), the UNet's own look at I_W (z_s alone, the
paper's form), and the embedding (the people's mean)."""


def leave_out(
    seen: Seen, low: torch.Tensor, identity: torch.Tensor, mean: torch.Tensor, out: Mapping[str, torch.Tensor]
) -> tuple[Seen, torch.Tensor]:
    """The inputs without some conditions.

    Args:
        low: the enlarged LR `[B,3,S,S]` in 0..1.
        identity: z_id `[B,D]`.
        mean: the people's mean embedding `[D]`.
        out: of names of `CONDITIONS`, in which samples it is left out, boolean `[B]`.

    Returns:
        The inputs and z_id.
    """
    nowhere = torch.zeros(len(low), dtype=torch.bool, device=low.device)
    of = {name: out.get(name, nowhere).to(low.device) for name in CONDITIONS}

    def choose(name: str, other: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
        return torch.where(of[name].reshape(-1, *[1] * (usual.dim() - 1)), other, usual)

    masked = choose("face", EMPTY + (1 - seen.mask) * (low - EMPTY), choose("mask", low, seen.masked))
    warped = choose("reference", masked, seen.warped)
    usual_sight = warped if seen.sight is None else choose("reference", masked, seen.sight)
    sight = choose("sight", torch.full_like(warped, EMPTY), usual_sight)
    return Seen(masked, warped, seen.mask, sight), choose("identity", mean.expand_as(identity), identity)


def chance_of_leaving_out(
    shares: Mapping[str, float], batch: int, chance: torch.Generator
) -> Mapping[str, torch.Tensor]:
    """For each name its share of the samples, drawn at random: boolean `[batch]`."""
    return {name: torch.rand(batch, generator=chance) < share for name, share in shares.items()}
