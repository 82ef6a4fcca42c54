"""What a restoration will be: sizes, tiles, UNet calls, memory and time, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...faces import Faces
from ...imaging.tile_plan import Tile, TilePlan
from ..resolving import Resolved, resolve
from ..session import Session
from ..tiling.own_tiles import OwnTile, faces_note
from ..tiling.tile_memory import FLOAT
from .calibration import Calibration
from .estimate import peaks, seconds, weights_bytes
from .workload import workload_of

Square = tuple[float, float, float, float]


@dataclass(frozen=True)
class UpscalePlan:
    """A restoration that has not begun. Sizes are (height, width) in pixels.

    Attributes:
        pictures: how many of `input_size` there are.
        padded_size: of the enlargement with its margin, as the networks take it.
        tiles: of one picture (or one aligned face), in pixels of the padded enlargement; with faces to plan around, of
            the picture that has the most.
        picture_plans: the tiles of each picture, where they are planned around its faces; else empty.
        own_tiles: squares (x0, y0, x1, y1) that are restored once more for a face, by picture, in pixels of the output.
        margin: of the padded enlargement, before the picture begins at the top and the left.
        tile, overlap: sides in output pixels, as in the report of `restore()`, which gives the same bits with them.
        work_ratio: computed area / padded area.
        unet_calls: of all pictures, tiles and passes together; a call computes up to `tile_batch` tiles.
        further_calls: UNet calls that come at most on top, for the tiles of known faces; None: unknown without faces.
        further_seconds: that those and the identity gate's run of the decoder take at most.
        weights_bytes: of the networks, which are there before; not in the figures below.
        pictures_bytes: main memory for pictures and latents at the moment of the peak.
        activations_bytes: memory on the device that the networks compute in at that moment.
        parts_bytes: main memory for whole activations, where the codec runs over parts.
        main_bytes, device_bytes: peak of main memory, and of the device's; on a CPU the device's is main memory.
        measured: whether activations were measured here, or guessed with caution.
        seconds: of the networks; None: unknown without a calibration.
        faces: boxes (x0, y0, x1, y1) of the faces of each picture, in output pixels.
        by_faces: whether only aligned faces are restored, so that `tiles` are those of one face.
    """

    model: str
    device: str
    pictures: int
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    padded_size: tuple[int, int]
    tiles: TilePlan
    picture_plans: tuple[TilePlan, ...]
    own_tiles: tuple[tuple[Square, ...], ...]
    margin: int
    tile: int
    overlap: int
    tile_batch: int
    work_ratio: float
    unet_calls: int
    further_calls: int | None
    weights_bytes: int
    pictures_bytes: int
    activations_bytes: int
    parts_bytes: int
    main_bytes: int
    device_bytes: int
    measured: bool
    seconds: float | None
    further_seconds: float | None
    faces: tuple[tuple[Square, ...], ...]
    by_faces: bool
    notes: tuple[str, ...]

    @property
    def peak_bytes(self) -> int:
        """Peak on the compute device, above the loaded weights; on a CPU with the pictures, which share its memory."""
        return self.device_bytes

    def text(self) -> str:
        """A few lines for a person."""
        (in_h, in_w), (out_h, out_w), (pad_h, pad_w) = self.input_size, self.output_size, self.padded_size
        several = f"{self.pictures} pictures of " if self.pictures > 1 else ""
        guessed = "" if self.measured else " (a cautious guess: calibrate to measure)"
        if self.device == "cpu":
            memory = f"peak memory {_size(self.main_bytes)} above the weights{guessed}"
        else:
            memory = (
                f"peak memory {_size(self.device_bytes)} on {self.device} above the weights{guessed}, "
                f"and {_size(self.main_bytes)} of main memory"
            )
        parts = f", whole activations {_size(self.parts_bytes)}" if self.parts_bytes else ""
        seconds = "unknown without calibration" if self.seconds is None else f"about {_duration(self.seconds)}"
        lines = [
            f"{self.model}: {several}{in_w}x{in_h} -> {out_w}x{out_h} px ({pad_w}x{pad_h} through the networks)",
            f"tile {self.tile}, overlap {self.overlap}, tile batch {self.tile_batch} ({len(self.tiles.tiles)} tiles of "
            f"{self.tiles.tile_width}x{self.tiles.tile_height}, {self.work_ratio:.2f} times the area)",
            f"UNet calls: {self.unet_calls}{self._further()}",
            f"{memory}: networks {_size(self.activations_bytes)}{parts}, pictures {_size(self.pictures_bytes)}; "
            f"weights {_size(self.weights_bytes)}",
            f"time on {self.device}: {seconds}",
        ]
        return "\n".join([*lines, *self.notes])

    def _further(self) -> str:
        if self.further_calls is None:
            return ", and one more for each tile of a known face: how many is known when the faces are given"
        if not self.further_calls:
            return ""
        longer = "" if self.further_seconds is None else f" ({_duration(self.further_seconds)} with the identity gate)"
        return f", and at most {self.further_calls} more for the tiles of known faces{longer}"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists; tiles as [x0, y0, x1, y1]."""
        record: dict[str, Any] = {
            key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()
        }
        record["tiles"] = _corners(self.tiles)
        record["picture_plans"] = [_corners(plan) for plan in self.picture_plans]
        for key in ("faces", "own_tiles"):
            record[key] = [[list(box) for box in boxes] for boxes in record[key]]
        return record


def plan_upscale(
    shape: tuple[int, int, int],
    session: Session,
    faces: Faces | None = None,
    calibration: Calibration | None = None,
    *,
    one_by_one: bool = False,
) -> UpscalePlan:
    """What `restore()` with the session's model, options and host and the plan's tile, overlap and tile batch will do.

    Args:
        shape: how many pictures there are, and the height and width of each in pixels.
        faces: as `restore()` takes them.
        calibration: what tiles were measured to cost (`plan.measure.calibration`): memory and time are estimated by it,
            and an automatic tile may be larger than the one that `restore()` chooses by itself, which a note says;
            None: memory is guessed with caution and the time is unknown.
        one_by_one: pictures go to `restore()` one at a time, and their results (restored, plain) are gathered.

    Raises:
        InputError: as `restore()` would.
    """
    if min(shape) < 1:
        raise InputError(f"{shape[0]} pictures of {shape[2]}x{shape[1]} px: all must be at least 1")
    one_step, asked, host, pictures = session.one_step, session.options, session.host, shape[0]
    resolved = resolve(shape, one_step, asked, host, faces, calibration)
    tiling, plan = resolved.tiling, resolved.plan
    work = workload_of(resolved, session.model)
    together = 1 if one_by_one else pictures
    main, device = peaks(one_step, resolved, work, calibration, together, host.device)
    gathered = 2 * 3 * FLOAT * pictures * resolved.output_size[0] * resolved.output_size[1] if one_by_one else 0
    shown = None if faces is None else faces.scaled_to(*resolved.output_size)
    notes = list(resolved.notes)
    if resolved.around is not None:
        notes.append(faces_note(resolved.around, one_step, tiling, *resolved.network_size))
    if calibration is not None:
        notes += _other_tile(resolved, resolve(shape, one_step, asked, host, faces))
    expected, longer = (None, None)
    if calibration is not None:
        expected, longer = seconds(calibration, resolved, work, one_step, host.device)
    return UpscalePlan(
        model=one_step.card.name,
        device=str(host.device),
        pictures=pictures,
        input_size=resolved.input_size,
        output_size=resolved.output_size,
        padded_size=resolved.padded_size,
        tiles=plan.scaled(tiling.factor),
        picture_plans=() if resolved.around is None else tuple(one.scaled(tiling.factor) for one in resolved.plans),
        own_tiles=tuple(tuple(_square(one, resolved.margin) for one in here) for here in work.own),
        margin=resolved.margin,
        tile=tiling.tile_pixels,
        overlap=tiling.overlap_pixels,
        tile_batch=tiling.batch,
        work_ratio=plan.work_ratio,
        unet_calls=work.calls,
        further_calls=work.further_calls,
        weights_bytes=weights_bytes(one_step),
        pictures_bytes=round(main.pictures + gathered),
        activations_bytes=round(device.activations),
        parts_bytes=round(main.parts),
        main_bytes=round(main.pictures + main.activations + main.parts + gathered),
        device_bytes=round(device.pictures + device.activations + device.parts + (gathered if main is device else 0)),
        measured=calibration is not None,
        seconds=expected,
        further_seconds=longer,
        faces=() if shown is None else tuple(tuple(face.box for face in found) for found in shown),
        by_faces=resolved.faces is not None,
        notes=tuple(notes),
    )


def _other_tile(planned: Resolved, alone: Resolved) -> list[str]:
    """A note where `restore()` by itself, which measures nothing, would take other tiles than were planned."""
    ours, theirs = planned.tiling, alone.tiling
    if (ours.tile, ours.overlap, ours.batch) == (theirs.tile, theirs.overlap, theirs.batch):
        return []
    return [
        f"tile {ours.tile_pixels}, overlap {ours.overlap_pixels} and tile batch {ours.batch} fit by what was measured: "
        f"give them to the upscale, which by itself takes tile {theirs.tile_pixels}"
    ]


def picture_tiles(plan: UpscalePlan, index: int = 0) -> list[Tile]:
    """The tiles of picture `index` in pixels of the output; the margin and padding beyond it are cut off."""
    height, width = plan.output_size

    def within(value: int, end: int) -> int:
        return min(end, max(0, value - plan.margin))

    tiles = plan.picture_plans[index] if plan.picture_plans else plan.tiles
    return [
        Tile(within(tile.y0, height), within(tile.y1, height), within(tile.x0, width), within(tile.x1, width))
        for tile in tiles.tiles
    ]


def _square(own: OwnTile, margin: int) -> Square:
    x, y, side = own.square
    return x - margin, y - margin, x - margin + side, y - margin + side


def _corners(plan: TilePlan) -> list[list[int]]:
    return [[tile.x0, tile.y0, tile.x1, tile.y1] for tile in plan.tiles]


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
