"""A face that the detector misses in some frames of a video: how much it flickers where the truth stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch

from ...errors import InputError
from ...faces import Face, FaceAnalyzer, Faces
from ...host import Host
from ...imaging.resizing import resize
from ...restoring.headsup_model import HeadsUpModel
from ...restoring.options import RestoreOptions
from ...restoring.pipeline import restore

MISSED_EVERY = 10
"""The face is missed in the last of each so many frames."""


@dataclass(frozen=True, eq=False)
class Pan:
    """A window that moves over a still portrait.

    Attributes:
        truth: `[N,3,H,W]` in 0..1, each frame `step` pixels further to the right in the portrait.
        given: the same, reduced `scale` times: `[N,3,H/scale,W/scale]`.
    """

    truth: torch.Tensor
    given: torch.Tensor
    step: int
    scale: int


@dataclass(frozen=True)
class Flicker:
    """How much the face changes from frame to frame, moved along with the pan, in levels of 255; in the truth nothing.

    Attributes:
        steady: mean over neighbouring frames in both of which the face was found.
        missed: mean over steps into or out of a frame in which it was missed.
        worst: the largest of those.
    """

    way: str
    steady: float
    missed: float
    worst: float


def pan_over(portrait: torch.Tensor, frames: int, side: int, step: int, scale: int = 4) -> Pan:
    """A pan over a portrait `[1,3,H,W]`, reduced to `side` px in height.

    The window is so much narrower than the portrait as the pan is long. A step that `scale` does not divide moves the
    reduced frames by parts of a pixel, as a camera does.

    Raises:
        InputError: the portrait is too small, or the pan longer than half of its width.
    """
    height, width = portrait.shape[-2:]
    if height < side:
        raise InputError(
            f"the portrait is {width}x{height} px, smaller than {side} px: give a larger one or less --side"
        )
    portrait = resize(portrait, side, round(width * side / height))
    path = (frames - 1) * step
    across = (portrait.shape[-1] - path) // scale * scale
    if across < portrait.shape[-1] / 2:
        raise InputError(f"a pan of {path} px over {portrait.shape[-1]}: give fewer --frames or a smaller --step")
    down = side // scale * scale
    truth = torch.cat([portrait[..., :down, step * index : step * index + across] for index in range(frames)])
    given = torch.nn.functional.avg_pool2d(truth, scale)
    return Pan(truth, given, step, scale)


def face_in_each(pan: Pan, analyzer: FaceAnalyzer) -> Faces:
    """The largest face of each given frame. Raises `InputError` when one shows none: nothing is to be missed there."""
    found = [analyzer.detect(frame[None])[0][:1] for frame in pan.given]
    if empty := [index for index, here in enumerate(found, 1) if not here]:
        raise InputError(f"no face was found in frame {empty[0]} of {len(found)}: give another portrait or more --side")
    height, width = pan.given.shape[-2:]
    return Faces(tuple(tuple(here) for here in found), height, width)


def missed(count: int) -> list[int]:
    """Frames of so many in which the face is missed: each has neighbours in which it was found."""
    return [index for index in range(count - 1) if index % MISSED_EVERY == MISSED_EVERY // 2]


def measure_flicker(pan: Pan, faces: Faces, model: HeadsUpModel, analyzer: FaceAnalyzer, host: Host) -> list[Flicker]:
    """The pan restored with its face in every frame, and with the face taken out of some, both frame by frame, and then
    as one video, which follows it; and the plain enlargement."""
    gaps = missed(len(pan.given))
    sometimes = replace(faces, pictures=tuple(() if index in gaps else one for index, one in enumerate(faces.pictures)))

    def restored(found: Faces, *, frames: bool) -> tuple[torch.Tensor, torch.Tensor]:
        options = RestoreOptions(scale=pan.scale, frames=frames)
        result = restore(pan.given, model, options, faces=found, analyzer=analyzer, host=host)
        return result.image, result.before

    always, plain = restored(faces, frames=False)
    rows = {
        "plain enlargement": plain,
        "face found in every frame": always,
        "missed, each frame by itself": restored(sometimes, frames=False)[0],
        "missed, frames of one video": restored(sometimes, frames=True)[0],
    }
    return [judged(way, changes(pictures, pan.step, _boxes(faces, pan.scale)), gaps) for way, pictures in rows.items()]


def changes(pictures: torch.Tensor, step: int, boxes: Sequence[tuple[int, int, int, int]]) -> list[float]:
    """For each frame but the first how much it differs from the one before, moved along with the pan: 0 in the truth.

    Args:
        pictures: `[N,3,H,W]` in 0..1.
        boxes: `[N]`, (left, top, right, bottom) of what is looked at in each frame.

    Returns:
        Mean differences in levels of 255.
    """
    off = (pictures[1:, ..., :-step] - pictures[:-1, ..., step:]).abs()
    return [
        255 * float(one[..., top:low, left:right].mean())
        for one, (left, top, right, low) in zip(off, boxes[1:], strict=True)
    ]


def judged(way: str, steps: Sequence[float], gaps: Sequence[int]) -> Flicker:
    """Steps between frames, told apart by whether they lead into or out of a frame of `gaps`."""
    touched = {index for gap in gaps for index in (gap - 1, gap)}
    inside = [value for index, value in enumerate(steps) if index in touched]
    steady = mean(value for index, value in enumerate(steps) if index not in touched)
    return Flicker(way, steady, mean(inside), max(inside))


def flicker_table(rows: Sequence[Flicker], pan: Pan, faces: Faces) -> str:
    """Markdown."""
    count, _, height, width = pan.truth.shape
    eyes = mean(one[0].eye_distance for one in faces.pictures)
    lines = [
        f"{count} frames of {width}x{height} px, {pan.step} px a frame, reduced {pan.scale} times; eyes "
        f"{eyes:.0f} px apart there; the face is missed in {len(missed(count))}. Levels of 255 by which the face "
        "differs from the frame before, moved along with the pan; the truth's differ by 0.",
        "",
        "| | face found in both | into or out of a miss | worst |",
        "|---|---|---|---|",
    ]
    lines += [f"| {one.way} | {one.steady:.2f} | {one.missed:.2f} | {one.worst:.2f} |" for one in rows]
    return "\n".join(lines) + "\n"


def _boxes(faces: Faces, scale: int) -> list[tuple[int, int, int, int]]:
    return [_box(one[0], scale, faces) for one in faces.pictures]


def _box(face: Face, scale: int, faces: Faces) -> tuple[int, int, int, int]:
    left, top, right, low = (round(scale * edge) for edge in face.box)
    return max(0, left), max(0, top), min(scale * faces.width, right), min(scale * faces.height, low)
