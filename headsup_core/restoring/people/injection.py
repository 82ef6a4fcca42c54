"""The UNet over tiles of which some show known faces: one call without conditions, one more for each such face.

Or one call with the condition, as HeadsUp's paper has it (arXiv 2510.09924, 3.3).
"""

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
    x0 is affine in the prediction, so this mixes the predictions as well. Where `conditions.calls` says so, the first
    is that of one call instead, see `_single_call`.
    """
    if conditions.calls != "mixed":
        return _single_call(model, latents, places, prompt, observation, conditions)
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


def _single_call(
    model: OneStepModel,
    latents: torch.Tensor,
    places: Sequence[Tile],
    prompt: torch.Tensor,
    observation: Observation | None,
    conditions: Conditions,
) -> torch.Tensor:
    """As `denoise_both`, but each tile is restored in one call with reference and mask of its largest known face; with
    a strength s below 1, x_0 + s (x - x_0). A plain call is made only where it is needed; else x stands for it."""
    chosen = [max(conditions.of(place), key=lambda one: float(one.mask.sum()), default=None) for place in places]
    if not any(chosen):
        plain = model.denoise(latents, prompt, observation=observation)
        return torch.cat([plain, plain], dim=1)
    reference, mask = model.empty_reference(latents).clone(), latents.new_zeros(latents[:, :1].shape)
    told = latents.new_zeros(len(latents), 1, 1, 1)
    for index, one in enumerate(chosen):
        if one is not None:
            reference[index], mask[index] = one.reference[0].to(latents), one.mask[0].to(latents)
            told[index] = 1
    given = model.denoise(latents, prompt, reference, mask, observation)
    if conditions.calls == "single" and conditions.strength == 1:
        return torch.cat([given, given], dim=1)
    plain = model.denoise(latents, prompt, observation=observation)
    return torch.cat([plain + conditions.strength * told.to(plain) * (given - plain), plain], dim=1)


def shares(conditions: Sequence[Condition]) -> list[torch.Tensor]:
    """How much each condition of a tile counts at each place, `[1,1,h,w]`; where masks overlap they sum to one."""
    if not conditions:
        return []
    total = torch.stack([one.mask for one in conditions]).sum(0).clamp(min=1)
    return [one.mask / total for one in conditions]
