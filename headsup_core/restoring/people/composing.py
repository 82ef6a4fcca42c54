"""The picture that the identity gate gives: some faces are taken from the restoration without the photos."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...faces.face import Face
from ...faces.faces import Faces
from ...faces.masks import Outline, faces_mask
from ...faces.reference import MASK_GROW
from .identity_score import scores_of

SURROUNDINGS = 4.0
"""Eye distances from the middle of the landmarks within which a face is replaced."""
FEATHER = 0.3
"""Eye distances over which a face that falls back is blended with what surrounds it."""
GROW = MASK_GROW + FEATHER
"""The region that falls back is whole wherever the face's condition reached, so that nothing of it stays."""


def composed(
    restored: torch.Tensor, plain: torch.Tensor, faces: Sequence[Face], spill: float = 0.0
) -> torch.Tensor:
    """`restored` with the regions of the faces that fall back taken from `plain`, both `[1,3,H,W]`.

    Where regions overlap, each face has its share, so that a face that falls back does not take its neighbour along.

    Args:
        faces: those without scores have no region.
        spill: pixels beyond the mask of a face that its condition can reach.
    """
    scored = [(face, scores) for face in faces if (scores := scores_of(face)) is not None]
    fallen = [face for face, scores in scored if scores.outcome == "uninjected"]
    if not fallen or restored is plain:
        return restored
    height, width = restored.shape[-2:]
    claimed = torch.zeros(1, 1, height, width)
    for face, _ in scored:
        rows, columns = face_window(face, height, width, spill)
        claimed[..., rows, columns] += region(face, rows, columns, spill)
    result = restored.clone()
    for face in fallen:
        rows, columns = face_window(face, height, width, spill)
        share = region(face, rows, columns, spill) / claimed[..., rows, columns].clamp(min=1)
        result[..., rows, columns] += share * (plain[..., rows, columns] - restored[..., rows, columns])
    return result


def region(face: Face, rows: slice, columns: slice, spill: float = 0.0) -> torch.Tensor:
    """Where a face that falls back is replaced, `[1,1,h,w]` in 0..1, in h rows and w columns of the picture.

    1 wherever `faces.reference.face_location` is above 0 and `spill` pixels around, then a smooth step to 0 over
    `FEATHER` eye distances, so that neighbouring pixels differ by at most 1.5 / (FEATHER * eye distance).
    """
    here = Faces(((face.moved(-columns.start, -rows.start),),), rows.stop - rows.start, columns.stop - columns.start)
    return faces_mask(here, outline=Outline(grow=GROW + spill / max(face.eye_distance, 1.0), feather=FEATHER))


def face_window(face: Face, height: int, width: int, spill: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of the picture around a face; empty when it lies outside."""
    x, y = face.landmarks.mean(0).tolist()
    reach = SURROUNDINGS * face.eye_distance + 2 * spill  # an ellipse grows up to 1.4 times as far along its long axis
    rows = slice(min(height, max(0, int(y - reach))), max(0, min(height, int(y + reach) + 1)))
    columns = slice(min(width, max(0, int(x - reach))), max(0, min(width, int(x + reach) + 1)))
    return rows, columns
