"""Ruined faces restored before a recogniser sees them: what is compared has passed through the same restorer.

A recogniser that never saw such noise and blur takes them for a part of the face. The small model that comes with
the pack takes them off, of the face in the picture as of the photo that was made as bad, whatever model restores the
picture: so the likeness is on one scale.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from ...faces.face import Face
from ...imaging.padding import pad_to_multiple
from ...imaging.resizing import resize
from ...models.loading import load_one_step
from ...models.one_step import OneStepModel

RESTORED_FOR = frozenset({"dlib_resnet_v1"})
"""Embedder ids for which it was measured that they tell people apart better so (docs/identity.md)."""
EYES = 56.0
"""Pixels between the eyes after enlarging: about what recognisers look at."""
REACH = 1.75
"""Eye distances from the middle of the landmarks within which a face is restored."""


def restored_face(picture: torch.Tensor, face: Face) -> tuple[torch.Tensor, Face]:
    """The surroundings of a face, enlarged and restored, `[1,3,H,W]` in 0..1, and the face in their pixels.

    Args:
        picture: `[1,3,h,w]` in 0..1, before any enlargement.
        face: in its pixels; its eyes are less than `EYES` px apart.
    """
    height, width = picture.shape[-2:]
    x, y = face.landmarks.mean(0).tolist()
    reach = REACH * face.eye_distance
    top, left = min(height - 1, max(0, int(y - reach))), min(width - 1, max(0, int(x - reach)))
    part = picture[..., top : max(top, int(y + reach)) + 1, left : max(left, int(x + reach)) + 1]
    factor = EYES / face.eye_distance
    size = max(1, round(part.shape[-2] * factor)), max(1, round(part.shape[-1] * factor))
    restored = _restored(resize(part, *size).clamp(0, 1))
    return restored, face.moved(-left, -top).scaled(size[1] / part.shape[-1], size[0] / part.shape[-2])


@torch.no_grad()
def _restored(enlarged: torch.Tensor) -> torch.Tensor:
    model = _restorer()
    padded, cut = pad_to_multiple(enlarged.float().cpu(), model.size_rule.multiple, model.size_rule.minimum)
    clean = model.denoise(model.codec.encode(padded), model.prompt.embeddings(None))
    return cut.apply(model.codec.decode_with_skips(clean, padded)).clamp(0, 1)


@lru_cache(maxsize=1)
def _restorer() -> OneStepModel:
    """The faithful end of the bundled model, in float32 on the CPU: what it adds of its own would be compared, too."""
    return load_one_step(dtype="float32", detail=0.0)
