"""Names in `Identity.fitted` of what was fitted for a one-step model, which may be more than one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from ..errors import InputError
from .identity import CROP_SIDE, Identity

FittedPart = Literal["reference", "embedding"]


def fitted_key(model_id: str, part: FittedPart) -> str:
    """The key of a part: "reference", an aligned face as `Identity.crops` holds them, or "embedding" for the identity
    tokens. An IDFSR model has its embedding alone, under its bare id."""
    return f"{model_id}/{part}"


def is_fitted(identity: Identity, model_id: str) -> bool:
    """Whether anything was fitted to this person for a one-step model."""
    return any(fitted_key(model_id, part) in identity.fitted for part in get_args(FittedPart))


def fitted_reference(identity: Identity, model_id: str) -> torch.Tensor | None:
    """The reference `[1,3,512,512]` in 0..1 that was fitted for this model, or None.

    Raises:
        InputError: what is stored there is no aligned face.
    """
    picture = identity.fitted.get(fitted_key(model_id, "reference"))
    if picture is None:
        return None
    if tuple(picture.shape) != (3, CROP_SIDE, CROP_SIDE):
        raise InputError(
            f"identity {identity.name!r} holds a fitted reference of {tuple(picture.shape)}, expected "
            f"{(3, CROP_SIDE, CROP_SIDE)}: fit the person again"
        )
    return picture.float().clamp(0, 1)[None]


def fitted_embedding(identity: Identity, model_id: str) -> torch.Tensor | None:
    """The embedding `[D]` that was fitted for this model's identity tokens, or None."""
    vector = identity.fitted.get(fitted_key(model_id, "embedding"))
    return None if vector is None else vector.float()


def with_fitted(identity: Identity, parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`identity.fitted` with `parts`, by key, on the CPU."""
    return {**identity.fitted, **{key: value.detach().cpu() for key, value in parts.items()}}
