"""Faces by the landmark net alone, which looks through the whole picture in overlapping windows of every size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..host import Host
from .face import Face
from .landmarks import EYES_PER_SIDE, SIDE, Candidate, box_around, bundled_landmark_net, find_landmarks

EYES = SIDE / EYES_PER_SIDE
"""Eye distance in pixels of a face that fills a window."""
STEP = 20
"""Pixels between two windows: the net finds the landmarks of a face that is half as far from the middle."""
GROWTH = 1.4
"""Ratio of two sizes that are looked for one after the other."""
FIRST_LOGIT = 0.0
"""Least logit of a window that is looked at again."""
DOUBT = 3.0
"""Taken off the net's logit, which was trained on what another detector had found: a window shows anything."""
MOST = 300
"""Windows that are looked at again."""
BATCH = 256


def faces_in_windows(picture: torch.Tensor, least: float, below: float, host: Host) -> list[Face]:
    """Upright faces of `[1,3,H,W]` in 0..1, some of them found twice, with the net's scores.

    Args:
        least, below: the eye distances in pixels that are looked for, `below` left out; faces that are larger than the
            picture are not.
        host: may cancel between any two sizes.
    """
    eyes, largest = least, 1.5 * max(picture.shape[-2:]) / EYES_PER_SIDE
    seen: list[tuple[float, Candidate]] = []
    while eyes < below and eyes <= largest:
        host.check_cancelled()
        seen += _looked_at(picture, eyes)
        eyes *= GROWTH
    landmarks, logits = find_landmarks(picture, _apart(seen))
    scores = torch.sigmoid(logits - DOUBT).tolist()
    return [Face(box_around(points), points, score) for points, score in zip(landmarks, scores, strict=True)]


@torch.no_grad()
def _looked_at(picture: torch.Tensor, eyes: float) -> list[tuple[float, Candidate]]:
    """Logit and place of what looks like a face with about this eye distance, in pixels of `picture` `[1,3,H,W]`."""
    factor = EYES / eyes
    size = [max(1, round(side * factor)) for side in picture.shape[-2:]]
    work = F.interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=factor < 1).clamp(0, 1)
    margins = [_margin(side) for side in size]
    work = F.pad(work, (*margins[1], *margins[0]), mode="replicate")
    windows = work.unfold(2, SIDE, STEP).unfold(3, SIDE, STEP)
    columns = windows.shape[3]
    crops = windows[0].permute(1, 2, 0, 3, 4).reshape(-1, 3, SIDE, SIDE)
    net, found = bundled_landmark_net(), list[tuple[float, Candidate]]()
    scale = [side / width for side, width in zip(size, picture.shape[-2:], strict=True)]
    for start in range(0, len(crops), BATCH):
        points, logits = net(crops[start : start + BATCH])
        for index in (logits > FIRST_LOGIT).nonzero()[:, 0].tolist():
            row, column = divmod(start + index, columns)
            at = points[index] + torch.tensor([column * STEP - margins[1][0], row * STEP - margins[0][0]])
            at = (at + 0.5) / torch.tensor([scale[1], scale[0]]) - 0.5
            dx, dy = (at[1] - at[0]).tolist()
            x, y = at.mean(0).tolist()
            found.append((float(logits[index]), Candidate(x, y, max(1.0, math.hypot(dx, dy)), math.atan2(dy, dx))))
    return found


def _margin(size: int) -> tuple[int, int]:
    """Pixels before and behind: half a window, and what makes the windows reach the end."""
    before = SIDE // 2
    length = max(SIDE, size + 2 * before)
    return before, length - size - before + -(length - SIDE) % STEP


def _apart(seen: Sequence[tuple[float, Candidate]]) -> list[Candidate]:
    """The surest first, none closer than half an eye distance to a surer one, at most `MOST`."""
    kept: list[Candidate] = []
    for _, one in sorted(seen, key=lambda pair: -pair[0]):
        if len(kept) == MOST:
            break
        if all(math.hypot(one.x - other.x, one.y - other.y) > 0.5 * other.eye_distance for other in kept):
            kept.append(one)
    return kept
