"""How often the networks run in a restoration with every choice made: tiles, faces' own tiles, known faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...faces.face import Face
from ...imaging.tile_plan import Tile
from ..headsup_model import HeadsUpModel
from ..people.conditions import reaches
from ..resolving import Resolved
from ..tiling.own_tiles import OwnTile, own_tiles, side_by_side
from ..tiling.tiled_run import Tiling


@dataclass(frozen=True, eq=False)
class Workload:
    """How often the networks run for all pictures together.

    Attributes:
        tiles: through each of the three stages, without faces' own tiles.
        own: faces that are restored once more, by picture; () without any.
        calls: UNet calls without people: a call computes up to a batch of tiles.
        further_tiles: through the UNet at most, for the tiles of known faces; None: unknown, for lack of faces.
        further_calls: the same in calls.
        people: how many may be in the pictures.
    """

    tiles: int
    own: tuple[tuple[OwnTile, ...], ...]
    calls: int
    further_tiles: int | None
    further_calls: int | None
    people: int


def workload_of(options: Resolved, model: HeadsUpModel) -> Workload:
    """What `restore()` does with these choices."""
    one_step, tiling, passes = model.one_step, options.tiling, len(model.one_step.passes)
    around = () if options.around is None else tuple(options.around)
    own = tuple(own_tiles(faces, one_step, tiling, *options.network_size) for faces in around)
    plans = options.plans * (1 if around else options.runs)
    calls = sum(-(-len(plan.tiles) // tiling.batch) for plan in plans)
    calls += sum(_own_calls(here, tiling) for here in own)
    further: int | None = 0
    if model.identities and model.identity_strength > 0 and one_step.takes_reference and not one_step.aligned_face:
        further = None
        if around:
            shown = zip(around, own, options.plans, strict=True)
            further = sum(
                _told(faces, here, plan.tiles, tiling.factor, len(model.identities)) for faces, here, plan in shown
            )
    return Workload(
        tiles=sum(len(plan.tiles) for plan in plans),
        own=own,
        calls=calls * passes,
        further_tiles=further,
        further_calls=None if further is None else further * passes,
        people=len(model.identities),
    )


def _own_calls(own: Sequence[OwnTile], tiling: Tiling) -> int:
    """Faces of one size go through the networks side by side."""
    sides = [one.side for one in own]
    return sum(-(-sides.count(side) // side_by_side(tiling, side).batch) for side in set(sides))


def _told(faces: Sequence[Face], own: Sequence[OwnTile], tiles: Sequence[Tile], factor: int, people: int) -> int:
    """Passes for known faces, if those that lie in the most tiles are the known ones; each person is one face."""
    apart = {one.index for one in own}
    counts = [
        1 if index in apart else sum(reaches(face, tile, factor) for tile in tiles)
        for index, face in enumerate(faces)
    ]
    return sum(sorted(counts, reverse=True)[:people])
