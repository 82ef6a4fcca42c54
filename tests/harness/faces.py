"""Faces made by hand."""

from __future__ import annotations

import torch

from headsup_core.faces.alignment import FFHQ_512
from headsup_core.faces.face import Face


def face_at(x: float, y: float, eyes: float, score: float = 1.0) -> Face:
    """An upright face, its landmarks' middle at (x, y), with this eye distance."""
    points = FFHQ_512 - FFHQ_512.mean(0)
    points = points / float(torch.linalg.vector_norm(points[1] - points[0])) * eyes + torch.tensor([x, y])
    return Face((x - eyes, y - 1.3 * eyes, x + eyes, y + 1.3 * eyes), points, score)
