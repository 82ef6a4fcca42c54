"""The UNet over tiles of which some show known faces: one call without conditions, one more for each such face."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...imaging.tile_plan import Tile
from ...models.one_step import Observation, OneStepModel
from .conditions import Condition, Conditions


def denoise_both(
    model: OneStepModel,
    latents: torch.Tensor,
    places: Sequence[Tile],
    prompt: torch.Tensor,
    observation: Observation | None,
    conditions: Conditions,
) -> torch.Tensor:
    """Clean latents `[n,2C,h,w]` of the tiles `latents` `[n,C,h,w]`: conditioned, then without any condition.

    With s the strength, m_i the masks and x_i the latents given the condition of face i:
    x = x_0 + s * sum_i m_i / max(1, sum_j m_j) * (x_i - x_0).
    x0 is affine in the prediction, so this mixes the predictions as well.
    """
    plain = model.denoise(latents, prompt, observation=observation)
    pairs: list[tuple[int, Condition, torch.Tensor]] = []
    for index, place in enumerate(places):
        found = conditions.of(place)
        pairs += [(index, one, share) for one, share in zip(found, shares(found), strict=True)]
    if not pairs:
        return torch.cat([plain, plain], dim=1)
    mixed = plain.clone()
    for start in range(0, len(pairs), len(latents)):
        group = pairs[start : start + len(latents)]
        inputs = latents[[index for index, _, _ in group]]
        predicted = model.denoise(
            inputs,
            prompt,
            reference=torch.cat([one.reference for _, one, _ in group]).to(latents.device),
            face_mask=torch.cat([one.mask for _, one, _ in group]).to(latents.device),
            observation=observation,
        )
        for (index, _, share), latent in zip(group, predicted, strict=True):
            weight = conditions.strength * share[0].to(plain)
            mixed[index] += weight * (latent - plain[index])
    return torch.cat([mixed, plain], dim=1)


def shares(conditions: Sequence[Condition]) -> list[torch.Tensor]:
    """How much each condition of a tile counts at each place, `[1,1,h,w]`; where masks overlap they sum to one."""
    if not conditions:
        return []
    total = torch.stack([one.mask for one in conditions]).sum(0).clamp(min=1)
    return [one.mask / total for one in conditions]
