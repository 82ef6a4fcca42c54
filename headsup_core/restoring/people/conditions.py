"""Conditions belong to places: the reference and mask that a known face gives to each tile that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from ...faces.face import Face
from ...faces.reference import REACH, face_location, warped_reference
from ...host import Host
from ...identity.identity import Identity
from ...identity.photo_choice import ONLY_PHOTO, PhotoChoice, choose_photo
from ...imaging.resizing import resize
from ...imaging.tile_plan import Tile
from ...models.one_step import OneStepModel

UprightReferences = dict[tuple[str, int, int, int], torch.Tensor]
"""(name, photo, height, width in pixels) -> latent `[1,C,h,w]` of an upright reference, for one model."""


Calls = Literal["mixed", "single", "single and plain"]
"""How the UNet is told: a call without and one with each condition, mixed; one call with the condition; or that, and
one without any for whoever compares."""


@dataclass(frozen=True, eq=False)
class KnownFace:
    """A face of the picture and whose it is.

    Attributes:
        face: in pixels of the picture that the network sees, margin and padding included.
        crop: the person's reference `[1,3,512,512]` in 0..1, aligned (FFHQ).
        choice: which of the person's photos that is, and why.
    """

    face: Face
    name: str
    crop: torch.Tensor
    choice: PhotoChoice = ONLY_PHOTO


@dataclass(frozen=True, eq=False)
class Condition:
    """What one known face gives to one tile of h x w latents.

    Attributes:
        mask: `[1,1,h,w]` in 0..1, where the face is.
        reference: latent `[1,C,h,w]`.
    """

    mask: torch.Tensor
    reference: torch.Tensor


class Conditions:
    """The known faces of one picture, and what they give to its tiles.

    References are encoded when they are first asked for and kept: those that lie upright over the tile once for each
    person and tile size, those that are warped onto the face once for each tile.

    Args:
        known: in pixels of the picture that the network sees.
        strength: how much of the condition counts, 0 to 1.
        upright: encoded upright references, shared by the pictures of a batch.
        calls: how the UNet is told.
    """

    def __init__(
        self,
        known: Sequence[KnownFace],
        model: OneStepModel,
        host: Host,
        strength: float = 1.0,
        upright: UprightReferences | None = None,
        calls: Calls = "mixed",
    ) -> None:
        self.known, self.strength, self.calls = tuple(known), strength, calls
        self._model, self._host = model, host
        self._upright = {} if upright is None else upright
        self._tiles: dict[Tile, tuple[Condition, ...]] = {}

    def prepare(self, tiles: Sequence[Tile], bytes_needed: int) -> bool:
        """Encode what `tiles` (in latents) need and are not known yet, with the codec on the device.

        Returns:
            Whether the codec was loaded for it; the UNet may have had to make room.
        """
        missing = [tile for tile in tiles if tile not in self._tiles]
        loaded = False
        for tile in missing:
            self._host.check_cancelled()
            shown = self._shown(tile)
            if not loaded and any(self._must_encode(one, tile) for one, _ in shown):
                self._host.load(self._model.codec.networks, bytes_needed)
                loaded = True
            self._tiles[tile] = tuple(Condition(mask, self._reference(one, tile)) for one, mask in shown)
        return loaded

    def of(self, tile: Tile) -> tuple[Condition, ...]:
        """The conditions of a prepared tile; () when it shows no known face."""
        return self._tiles[tile]

    def _shown(self, tile: Tile) -> list[tuple[KnownFace, torch.Tensor]]:
        """The known faces whose mask reaches into a tile, with it."""
        factor = self._model.codec.factor
        found: list[tuple[KnownFace, torch.Tensor]] = []
        for one in self.known:
            face, height, width = _in_tile(one.face, tile, factor), tile.height * factor, tile.width * factor
            if not reaches(one.face, tile, factor):
                continue
            mask = face_location(face, height, width)
            small = F.avg_pool2d(mask, factor)  # by area, as in training
            if bool((small > 0).any()):
                found.append((one, small))
        return found

    def _must_encode(self, one: KnownFace, tile: Tile) -> bool:
        key = (one.name, one.choice.index, tile.height, tile.width)
        return self._model.reference_placement == "warped" or key not in self._upright

    def _reference(self, one: KnownFace, tile: Tile) -> torch.Tensor:
        factor = self._model.codec.factor
        height, width = tile.height * factor, tile.width * factor
        if self._model.reference_placement == "warped":
            return self._encode(warped_reference(one.crop, _in_tile(one.face, tile, factor), height, width)[0])
        key = (one.name, one.choice.index, tile.height, tile.width)
        if key not in self._upright:
            self._upright[key] = self._encode(resize(one.crop, height, width))
        return self._upright[key]

    @torch.no_grad()
    def _encode(self, picture: torch.Tensor) -> torch.Tensor:
        on_device = picture.to(self._host.device, self._model.dtype)
        return self._model.codec.encode(on_device).float().cpu()


def reaches(face: Face, tile: Tile, factor: int) -> bool:
    """Whether the mask of `face`, in pixels, can have pixels in `tile`, in latents of `factor` pixels."""
    x, y = face.landmarks[:2].mean(0).tolist()
    reach, inside = REACH * face.eye_distance, tile.scaled(factor)
    return inside.x0 - reach < x < inside.x1 + reach and inside.y0 - reach < y < inside.y1 + reach


def _in_tile(face: Face, tile: Tile, factor: int) -> Face:
    return face.moved(-tile.x0 * factor, -tile.y0 * factor)


def known_face(face: Face, identity: Identity, picture: torch.Tensor) -> KnownFace | None:
    """What a model with references is told of a face of `identity` in `picture` `[1,3,H,W]`: the photo that is nearest
    to it; None when the person has no photos."""
    if not len(identity.crops):
        return None
    choice = choose_photo(identity, face, picture)
    return KnownFace(face, identity.name, identity.crops[choice.index : choice.index + 1], choice)
