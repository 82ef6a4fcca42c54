"""What the user asked for becomes sizes, tiles and a way through the networks: for `restore()` and for plans of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import InputError
from ..faces import Faces
from ..host import Host
from ..imaging.color import COLOR_FIXES
from ..imaging.published import FaceSizing, PadSizing, PublishedSizing
from ..imaging.resizing import output_size
from ..imaging.tile_plan import TilePlan
from ..models.one_step import OneStepModel
from .own_tiles import around_faces
from .plan.calibration import read_calibration
from .tile_memory import auto_tile, auto_tile_batch, check_picture_fits, picture_memory, smallest_tile
from .tiled_run import Tiling

DEFAULT_OVERLAP = 128
Sizing = Literal["pad", "published"]


@dataclass(frozen=True, eq=False)
class Resolved:
    """A restoration of pictures of one size, with every choice made. Sizes are (height, width) in pixels.

    Attributes:
        input_size: of each picture.
        asked_size: of the plain enlargement that was asked for.
        output_size: of the result; the published sizings may give another one than was asked for.
        padded_size: of the enlargement with its margin, as the networks take it.
        margin: pixels of that before the picture begins, at the left and at the top.
        network_size: of what goes through the networks: the same, or one aligned face.
        runs: how often that is: once a picture, or once a face.
        way: makes it from a picture and settles the result.
        faces: to be cut out, in pixels of the enlargement; None: whole pictures are restored.
        around: what the tiles of whole pictures are planned around, in pixels of what goes through the networks.
        tiling: tiles and their batches.
        notes: what the user should know.
    """

    input_size: tuple[int, int]
    asked_size: tuple[int, int]
    output_size: tuple[int, int]
    padded_size: tuple[int, int]
    network_size: tuple[int, int]
    runs: int
    way: PublishedSizing
    faces: Faces | None
    color_fix: str
    tiling: Tiling
    notes: tuple[str, ...]
    around: Faces | None = None
    margin: int = 0

    @property
    def plans(self) -> tuple[TilePlan, ...]:
        """The tiles of each picture, in latents; without faces to plan around, one plan for all."""
        height, width = self.network_size
        pictures = [()] if self.around is None else self.around.pictures
        tilings = (around_faces(self.tiling, faces) for faces in pictures)
        return tuple(each.plan(height // each.factor, width // each.factor) for each in tilings)

    @property
    def plan(self) -> TilePlan:
        """The tiles of one run, in latents; of the picture that has the most."""
        return max(self.plans, key=lambda plan: len(plan.tiles))

    @property
    def calls(self) -> int:
        """Tiles of all runs."""
        plans = self.plans
        return self.runs * len(plans[0].tiles) if self.around is None else sum(len(plan.tiles) for plan in plans)


def resolve(
    input_size: tuple[int, int],
    pictures: int,
    model: OneStepModel,
    host: Host,
    scale: float | None = None,
    *,
    long_edge: int | None = None,
    max_megapixels: float | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    tile_batch: int | None = None,
    color_fix: str | None = None,
    strength: float = 1.0,
    sizing: Sizing = "pad",
    faces: Faces | None = None,
) -> Resolved:
    """Every choice of `restore()` that needs no pixels; arguments as there.

    Args:
        input_size: (height, width) of each picture.
        pictures: how many there are.

    Raises:
        InputError: an option that cannot be used, or a result that does not fit into main memory.
    """
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength {strength}: must be between 0 (plain enlargement) and 1")
    if sizing not in ("pad", "published"):
        raise InputError(f"sizing {sizing!r}: use pad or published")
    fix = model.default_color_fix if color_fix is None else color_fix
    if fix not in COLOR_FIXES:
        raise InputError(f"colour fix {fix!r} is unknown: choose {', '.join(COLOR_FIXES)}")
    if scale is None and not long_edge:
        scale = model.scale
    asked = output_size(*input_size, scale=scale, long_edge=long_edge or None, max_megapixels=max_megapixels or None)
    check_picture_fits(*asked, pictures)
    notes: list[str] = []
    found = _aligned_faces(model, faces, pictures, *asked, notes)
    way = _sizing(model, sizing, input_size, notes, by_faces=found is not None)
    around = _faces_around(model, faces, way, *asked, notes)
    # a tensor without values takes the very path that the picture will take
    prepared = way.prepare(torch.empty(1, 3, *input_size, device="meta"), *asked)
    output = prepared.finish(prepared.settle(prepared.network))
    padded = (prepared.network.shape[-2], prepared.network.shape[-1])
    taken = picture_memory(model, padded[0] * padded[1], asked[0] * asked[1], pictures, fix, in_parts=False).peak
    tiling = resolve_tiling(model, host, tile, overlap, tile_batch, prepared.multiple, taken)
    return Resolved(
        input_size=input_size,
        asked_size=asked,
        output_size=(output.shape[-2], output.shape[-1]),
        padded_size=padded,
        network_size=padded if found is None else (model.aligned_face, model.aligned_face),
        runs=pictures if found is None else found.count,
        way=way,
        faces=found,
        color_fix=fix,
        tiling=tiling,
        notes=tuple(notes),
        around=around,
        margin=prepared.margin,
    )


def resolve_tiling(
    model: OneStepModel,
    host: Host,
    tile: int | None,
    overlap: int | None,
    tile_batch: int | None,
    multiple: int | None = None,
    pictures_bytes: float = 0.0,
) -> Tiling:
    """Asked or automatic tile, overlap (output pixels) and batch as a `Tiling` in latents.

    Args:
        multiple: pixels that sizes are multiples of; None: the model's size rule.
        pictures_bytes: main memory that pictures will take, which a CPU's tiles cannot have.

    Raises:
        InputError: tile too small for the model, negative values, overlap >= tile.
    """
    multiple, factor = multiple or model.size_rule.multiple, model.codec.factor
    known = read_calibration(model, host.device)
    free = host.free_memory()
    if known is not None and host.device.type == "cpu":
        free = max(0, int(free - pictures_bytes))
    if tile is not None and 0 < tile < multiple:
        raise InputError(f"tile {tile}: {model.card.name} needs at least {multiple} px, in steps of {multiple}")
    if (tile or 0) < 0 or (overlap or 0) < 0 or (tile_batch or 0) < 0:
        raise InputError(f"tile {tile}, overlap {overlap}, tile batch {tile_batch}: none may be negative")
    side = (tile or auto_tile(model, free, host.device, known, multiple)) // multiple * multiple
    shared = min(DEFAULT_OVERLAP, side // 4) if overlap is None else overlap
    if shared >= side:
        raise InputError(f"tile {side} with overlap {shared}: overlap must be below the tile size")
    batch = tile_batch or auto_tile_batch(model, side, free, host.device, known)
    return Tiling(
        tile=side // factor,
        overlap=-(-shared // multiple) * multiple // factor,
        multiple=multiple // factor,
        smallest=smallest_tile(model) // factor,
        factor=factor,
        batch=batch,
    )


def _aligned_faces(
    model: OneStepModel,
    faces: Faces | None,
    pictures: int,
    height: int,
    width: int,
    notes: list[str],
) -> Faces | None:
    """The faces to cut out, in pixels of the output; None when the model is to see whole pictures."""
    if faces is None:
        return None
    faces.check_batch(pictures)
    if not model.aligned_face:
        return None
    if not all(len(found) for found in faces):
        notes.append(f"no face was found in some picture, where {model.card.name} leaves the plain enlargement")
    return faces.scaled_to(height, width)


def _faces_around(
    model: OneStepModel, faces: Faces | None, way: PublishedSizing, height: int, width: int, notes: list[str]
) -> Faces | None:
    """The faces that tiles are planned around, in pixels of what is encoded; None without any."""
    if faces is None or model.aligned_face or not faces.count:
        return None
    if not isinstance(way, PadSizing):
        notes.append("sizing published: the tiles were planned without the faces, as the system's own script does")
        return None
    return faces.scaled_to(height, width).map(lambda face: face.moved(way.margin, way.margin))


def _sizing(
    model: OneStepModel, sizing: Sizing, input_size: tuple[int, int], notes: list[str], *, by_faces: bool
) -> PublishedSizing:
    if by_faces:
        if sizing == "published":
            raise InputError(f"sizing published: {model.card.name}'s script takes pictures of one face, give no faces")
        return PadSizing(model.size_rule.multiple, 0)
    square = input_size[0] == input_size[1]
    if model.aligned_face:
        taken = "a square picture is taken for one" if square else "the whole picture was restored all the same"
        notes.append(
            f"{model.card.name} restores aligned faces of {model.aligned_face} px and was given no faces: {taken}; "
            f"for a whole picture connect the faces (HeadsUp Detect Faces; in Python faces=)"
        )
    if sizing == "pad":
        if model.aligned_face and square:
            return FaceSizing(model.aligned_face, keep=False)
        return PadSizing(model.size_rule.multiple, model.size_rule.minimum, model.margin)
    if model.published is None:
        raise InputError(f"{model.card.name} has no published sizing of its own: use sizing pad")
    return model.published
