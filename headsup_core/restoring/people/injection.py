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
    for group in _batches(pairs, len(latents)):
        inputs = latents[[index for index, _, _ in group]]
        predicted = model.denoise(
            inputs,
            prompt,
            reference=_stacked([one.reference for _, one, _ in group], latents),
            face_mask=_stacked([None if one.reference is None else one.mask for _, one, _ in group], latents),
            observation=observation,
            embedding=_stacked([one.embedding for _, one, _ in group], latents),
            token_scales=conditions.token_scales,
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


def _batches(
    pairs: Sequence[tuple[int, Condition, torch.Tensor]], size: int
) -> list[list[tuple[int, Condition, torch.Tensor]]]:
    """At most `size` together, those with a reference apart from those without."""
    kinds = [[pair for pair in pairs if (pair[1].reference is None) == bare] for bare in (False, True)]
    return [kind[start : start + size] for kind in kinds for start in range(0, len(kind), size)]


def _stacked(parts: Sequence[torch.Tensor | None], like: torch.Tensor) -> torch.Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present).to(like.device) if present else None
