"""Whole pictures in which faces are known: tiles are planned around them, and some faces get tiles of their own.

A network has seen faces of certain sizes. One that is larger is torn, one that is smaller is not seen as a face, and
one that is larger than a tile is seen in pieces. Such a face is restored once more at a size that the network knows, in
a tile of its own, and laid over the picture's restoration. Measured ways to do so: docs/performance.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ...faces.face import Face
from ...faces.faces import Faces
from ...faces.masks import ELLIPSE, Outline, faces_mask
from ...imaging.box_tiles import Box, fits_whole
from ...imaging.resizing import resize
from ...models.one_step import OneStepModel
from ..people.conditions import KnownFace
from ..session import Run
from ..stages import STAGES, Restored, restore_picture
from .tiled_run import Tiling

CONTEXT = 4.0
"""Side of a face's own square in eye distances, about that of FFHQ's crops."""
FEATHER = 0.5
"""Eye distances over which a face's own tile fades into the picture."""


@dataclass(frozen=True, eq=False)
class OwnTile:
    """A face that is restored at another size.

    Attributes:
        index: of the face among those of the picture.
        goal: eye distance in pixels that it is brought to.
        side: of its tile in pixels, a multiple of the size rule.
    """

    index: int
    face: Face
    goal: float
    side: int

    @property
    def square(self) -> tuple[int, int, int]:
        """x, y and side of what is cut out of the picture; may reach outside of it."""
        side = max(1, round(self.side * self.face.eye_distance / self.goal))
        x0, y0, x1, y1 = face_box(self.face)
        return round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side

    def placed(self, face: Face, column: int) -> Face:
        """A face of the picture in the strip where this tile stands in `column`."""
        x, y, side = self.square
        factor = self.side / side
        return face.moved(-x, -y).scaled(factor, factor).moved(column * self.side, 0)


def face_box(face: Face) -> Box:
    """Upright box around the ellipse of a face (`faces.masks.ELLIPSE`), chin to hair; edges, not pixel centres."""
    left, right = face.landmarks[0].tolist(), face.landmarks[1].tolist()
    dx, dy = right[0] - left[0], right[1] - left[1]
    cx, cy, rx, ry = ELLIPSE
    x = (left[0] + right[0]) / 2 + cx * dx - cy * dy + 0.5
    y = (left[1] + right[1]) / 2 + cx * dy + cy * dx + 0.5
    half_x, half_y = math.hypot(rx * dx, ry * dy), math.hypot(rx * dy, ry * dx)
    return x - half_x, y - half_y, x + half_x, y + half_y


def around_faces(tiling: Tiling, faces: Sequence[Face]) -> Tiling:
    """`tiling`, planned around `faces`, which are in output pixels of what is tiled."""
    boxes = (tuple(edge / tiling.factor for edge in face_box(face)) for face in faces)
    return replace(tiling, keep=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes))


def own_tiles(
    faces: Sequence[Face], model: OneStepModel, tiling: Tiling, height: int, width: int
) -> tuple[OwnTile, ...]:
    """The faces, in pixels of a picture of `height` x `width`, that need a tile of their own.

    Their eyes are closer or farther than the model was trained on, or they do not fit a tile. None for a model that
    does not know its range, or when a tile is too small for any face it knows.
    """
    if model.trained_eyes is None:
        return ()
    low, high = model.trained_eyes
    step = tiling.multiple * tiling.factor
    room = (tiling.tile_pixels // step * step - 2 * model.margin) / CONTEXT
    boxes = around_faces(tiling, faces).keep
    found: list[OwnTile] = []
    for index, (face, box) in enumerate(zip(faces, boxes, strict=True)):
        if not _shown(box, height // tiling.factor, width // tiling.factor):
            continue
        eyes = max(face.eye_distance, 1.0)
        whole = _fits(box, tiling, height, width)
        goal = min(max(eyes, low), high)
        goal = goal if whole and goal == eyes else min(goal, room)
        if goal == eyes or goal < low:
            continue
        side = math.ceil((goal * CONTEXT + 2 * model.margin) / step) * step
        found.append(OwnTile(index, face, goal, min(side, tiling.tile_pixels // step * step)))
    return tuple(found)


def _shown(box: Box, height: int, width: int) -> bool:
    return box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0


def faces_note(faces: Faces, model: OneStepModel, tiling: Tiling, height: int, width: int) -> str:
    """What became of the faces, in pixels of pictures of `height` x `width`, for the report."""
    own = [one for here in faces for one in own_tiles(here, model, tiling, height, width)]
    note = f"tiles planned around {faces.count} {'face' if faces.count == 1 else 'faces'}"
    if own:
        sizes = ", ".join(f"{one.face.eye_distance:.0f} as {one.goal:.0f} px" for one in own[:3])
        note += f", {len(own)} restored in own tiles (eyes apart: {sizes}{', ...' * (len(own) > 3)})"
    apart = {id(one.face) for one in own}
    others = [face for here in faces for face in here if id(face) not in apart]
    cut = sum(not _fits(box, tiling, height, width) for box in around_faces(tiling, others).keep)
    if cut:
        note += f", {cut} larger than a tile of {tiling.tile_pixels} px"
    return note


def _fits(box: Box, tiling: Tiling, height: int, width: int) -> bool:
    """Whether a tile holds `box` (in latents) whole."""
    f = tiling.factor
    return fits_whole(box, height // f, width // f, tiling.tile, tiling.overlap, tiling.multiple)


def restore_around_faces(
    picture: torch.Tensor, faces: Sequence[Face], known: Mapping[int, KnownFace], run: Run, tiling: Tiling
) -> Restored:
    """As `restore_picture`, with tiles planned around `faces` (in pixels of `picture`), and tiles of their own.

    Where own tiles overlap, the face that comes first in `faces` (the largest) lies on top. Raises as that does.

    Args:
        known: index of a face -> what the model is told of it, in pixels of `picture`.
    """
    own = own_tiles(faces, run.model, tiling, *picture.shape[-2:])
    apart = {one.index for one in own}
    told = [one for index, one in known.items() if index not in apart]
    whole = restore_picture(picture, run, around_faces(tiling, faces), told)
    tiling = replace(whole.tiling, keep=())
    if not own:
        return replace(whole, tiling=tiling)
    injected: dict[int, torch.Tensor] = {}
    plain: dict[int, torch.Tensor] = {}
    for side in sorted({one.side for one in own}):
        row = [one for one in own if one.side == side]
        strip = torch.cat([_cut(picture, one) for one in row], dim=-1)
        here = [
            replace(known[one.index], face=one.placed(known[one.index].face, column))
            for column, one in enumerate(row)
            if one.index in known
        ]
        run.progress.grow(STAGES * len(row))
        made = restore_picture(strip, run, side_by_side(tiling, side), here)
        injected.update(zip((one.index for one in row), made.picture.split(side, dim=-1), strict=True))
        if made.plain is not None and made.plain is not made.picture:
            plain.update(zip((one.index for one in row), made.plain.split(side, dim=-1), strict=True))
    restored = _lay_all(whole.picture, own, injected)
    if whole.plain is None:
        return Restored(restored, None, tiling)
    if whole.plain is whole.picture and not plain:
        return Restored(restored, restored, tiling)
    return Restored(restored, _lay_all(whole.plain, own, injected | plain), tiling)


def _lay_all(picture: torch.Tensor, own: Sequence[OwnTile], made: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """`picture` with the restored tiles back at their places; a new tensor."""
    result = picture.clone()
    for one in reversed(own):
        _lay(result, one, made[one.index])
    return result


def side_by_side(tiling: Tiling, side: int) -> Tiling:
    """One tile a face, in batches that take no more memory than those of `tiling`."""
    batch = max(1, tiling.batch * tiling.tile_pixels**2 // side**2)
    return replace(tiling, tile=side // tiling.factor, overlap=0, batch=batch, within=tiling)


def _cut(picture: torch.Tensor, own: OwnTile) -> torch.Tensor:
    """The square around the face at the size of its tile, `[1,3,side,side]`; the picture's border is repeated."""
    x, y, side = own.square
    height, width = picture.shape[-2:]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
    inside = picture[..., y0:y1, x0:x1]
    amounts = (x0 - x, x + side - x1, y0 - y, y + side - y1)
    return resize(F.pad(inside, amounts, mode="replicate"), own.side, own.side)


def _lay(picture: torch.Tensor, own: OwnTile, made: torch.Tensor) -> None:
    """Blend one restored tile into `picture`, at its place alone: the picture may be large, and the faces many."""
    x, y, side = own.square
    height, width = picture.shape[-2:]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
    there = own.face.moved(-x, -y)
    mask = faces_mask(Faces(((there,),), side, side), outline=Outline(grow=FEATHER / 2, feather=FEATHER))
    window = (..., slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
    large = resize(made.clamp(0, 1), side, side)[window]
    place = picture[..., y0:y1, x0:x1]
    place += mask[window] * (large - place)
