"""What the user asked for becomes sizes, tiles and a way through the networks: for `restore()` and for plans of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ..errors import InputError
from ..faces import Faces
from ..host import Host
from ..imaging.published import FaceSizing, PadSizing, PublishedSizing
from ..imaging.published_tiles import PublishedTiles
from ..imaging.tile_plan import TilePlan
from ..models.one_step import OneStepModel
from .options import RestoreOptions, Sizing
from .plan.calibration import Calibration
from .tiling.own_tiles import around_faces
from .tiling.tile_memory import (
    PictureSizes,
    Room,
    auto_tile,
    auto_tile_batch,
    check_picture_fits,
    picture_memory,
    smallest_tile,
)
from .tiling.tiled_run import Tiling

DEFAULT_OVERLAP = 128


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

    def filled_in(self, options: RestoreOptions) -> RestoreOptions:
        """`options` with the choices that were left open: with them the same pictures give the same bits."""
        tiling = self.tiling
        return replace(
            options,
            tile=tiling.tile_pixels,
            overlap=tiling.overlap_pixels,
            tile_batch=tiling.batch,
            color_fix=self.color_fix,
        )

    @cached_property
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
        return self.calls_from(0)

    def calls_from(self, index: int) -> int:
        """Tiles of the runs of the pictures from that index on."""
        if self.around is not None:
            return sum(len(plan.tiles) for plan in self.plans[index:])
        before = index if self.faces is None else sum(len(found) for found in self.faces.pictures[:index])
        return (self.runs - before) * len(self.plans[0].tiles)


def resolve(
    shape: tuple[int, int, int],
    model: OneStepModel,
    options: RestoreOptions,
    host: Host,
    faces: Faces | None = None,
    calibration: Calibration | None = None,
) -> Resolved:
    """Every choice of `restore()` that needs no pixels.

    Args:
        shape: how many pictures there are, and the height and width of each in pixels.
        faces: of the pictures, as `restore()` takes them.
        calibration: what tiles were measured to cost, for a larger automatic tile where memory allows one; None: a
            cautious guess from the networks' widths.

    Raises:
        InputError: an option that cannot be used, or a result that does not fit into main memory.
    """
    pictures, height, width = shape
    fix = options.color_fix or model.default_color_fix
    asked = options.size_of(height, width, model.scale)
    check_picture_fits(*asked, pictures)
    notes: list[str] = []
    found = _aligned_faces(model, faces, pictures, asked, notes)
    way = _sizing(model, options.sizing, (height, width), notes, by_faces=found is not None)
    around = _faces_around(model, faces, way, asked, notes) if options.tiling == "own" else None
    # a tensor without values takes the very path that the picture will take
    prepared = way.prepare(torch.empty(1, 3, height, width, device="meta"), *asked)
    output = prepared.finish(prepared.settle(prepared.network))
    padded = (prepared.network.shape[-2], prepared.network.shape[-1])
    free = host.free_memory()
    if calibration is not None and host.device.type == "cpu":
        sizes = PictureSizes(padded[0] * padded[1], asked[0] * asked[1], pictures)
        free = max(0, int(free - picture_memory(model, sizes, fix, in_parts=False).peak))
    room = Room(free, host.device, calibration)
    return Resolved(
        input_size=(height, width),
        asked_size=asked,
        output_size=(output.shape[-2], output.shape[-1]),
        padded_size=padded,
        network_size=padded if found is None else (model.aligned_face, model.aligned_face),
        runs=pictures if found is None else found.count,
        way=way,
        faces=found,
        color_fix=fix,
        tiling=resolve_tiling(model, options, room, prepared.multiple),
        notes=tuple(notes),
        around=around,
        margin=prepared.margin,
    )


def resolve_tiling(model: OneStepModel, options: RestoreOptions, room: Room, multiple: int | None = None) -> Tiling:
    """Asked or automatic tile, overlap and batch as a `Tiling` in latents.

    Args:
        room: what an automatic choice may take.
        multiple: pixels that sizes are multiples of; None: the model's size rule.

    Raises:
        InputError: the tile is too small for the model, or the overlap as large as the tile.
    """
    rule, factor = model.size_rule, model.codec.factor
    published = _published_tiles(model, options)
    multiple = rule.multiple if rule.fixed else multiple or rule.multiple
    tile, overlap = options.tile, options.overlap
    if tile is not None and tile < multiple:
        raise InputError(f"tile {tile}: {model.card.name} needs at least {multiple} px, in steps of {multiple}")
    side = (auto_tile(model, room, multiple) if tile is None else tile) // multiple * multiple
    shared = min(DEFAULT_OVERLAP, side // 4) if overlap is None else overlap
    shared = 0 if rule.fixed else shared  # there is one tile
    if published is not None:
        side, shared = published.tile * factor, published.overlap * factor
    if shared >= side:
        raise InputError(f"tile {side} with overlap {shared}: overlap must be below the tile size")
    return Tiling(
        tile=side // factor,
        overlap=-(-shared // multiple) * multiple // factor,
        multiple=multiple // factor,
        smallest=smallest_tile(model) // factor,
        factor=factor,
        batch=options.tile_batch or auto_tile_batch(model, side, room),
        published=published,
    )


def _published_tiles(model: OneStepModel, options: RestoreOptions) -> PublishedTiles | None:
    """The system's own tiles where they are asked for, with the asked size and overlap in place of its.

    Raises:
        InputError: it has none.
    """
    if options.tiling != "published":
        return None
    own, factor = model.record.published_tiles, model.codec.factor
    if own is None:
        raise InputError(f"tiling published: {model.card.name} was published without tiles of its own, leave it out")
    tile = own.tile if options.tile is None else max(1, options.tile // factor)
    overlap = own.overlap if options.overlap is None else -(-options.overlap // factor)
    if overlap >= tile:
        raise InputError(f"tile {tile * factor} with overlap {overlap * factor}: overlap must be below the tile size")
    return replace(own, tile=tile, overlap=overlap)


def _aligned_faces(
    model: OneStepModel,
    faces: Faces | None,
    pictures: int,
    size: tuple[int, int],
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
    return faces.scaled_to(*size)


def _faces_around(
    model: OneStepModel, faces: Faces | None, way: PublishedSizing, size: tuple[int, int], notes: list[str]
) -> Faces | None:
    """The faces that tiles are planned around, in pixels of what is encoded; None without any."""
    if faces is None or model.aligned_face or not faces.count:
        return None
    if not isinstance(way, PadSizing):
        notes.append("sizing published: the tiles were planned without the faces, as the system's own script does")
        return None
    return faces.scaled_to(*size).map(lambda face: face.moved(way.margin, way.margin))


def _sizing(
    model: OneStepModel, sizing: Sizing, input_size: tuple[int, int], notes: list[str], *, by_faces: bool
) -> PublishedSizing:
    if by_faces:
        if sizing == "published":
            raise InputError(f"sizing published: {model.card.name}'s script takes pictures of one face, give no faces")
        return PadSizing(1 if model.size_rule.fixed else model.size_rule.multiple, 0)
    square = input_size[0] == input_size[1]
    if model.size_rule.fixed and not square:
        raise InputError(
            f"{model.card.name} restores aligned faces of {model.aligned_face} px and was given no faces of a picture "
            f"of {input_size[1]}x{input_size[0]} px: give them (HeadsUp Detect Faces; in Python faces=)"
        )
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
