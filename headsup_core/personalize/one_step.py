"""Fitting what a one-step model takes of a person: the reference, the embedding of the identity tokens, or both."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..faces.face import Face
from ..faces.reference import face_location, warped_reference
from ..identity.fitted import fitted_key
from ..identity.identity import CROP_SIDE, Identity
from ..imaging.resizing import resize
from ..models.one_step import OneStepModel
from ..restoring.people.conditions import token_embedding
from ..training.degradation import find_degradation
from ..training.objective import restore
from .degraded_copies import Copies, draw_copies
from .face_loss import FaceLoss
from .loop import Parts
from .options import FittingOptions
from .weights import normal_model

CHECKS = 8
"""Degraded copies of the held-out photo over which its loss is a mean, always the same."""
LEAST_GAIN = 0.02
"""Of the held-out loss. Smaller gains of the squared error (0.02 to 0.06 dB) were measured to cost identity."""
PIXEL_UNIT = 0.05
"""Of a reference's change, in 0..1."""
GRID = 128
"""Places a side at which a reference changes; between them the change is bilinear. The photo keeps its detail."""
PULL = 1e-3
"""Weight of the changes' mean square beside the face loss: what gains nothing stays as the photo has it."""


class OneStepTask:
    """The changes of reference and embedding, in `PIXEL_UNIT` and in a unit vector's root mean square.

    The reference is fitted as an aligned picture, not as a latent: so it can be laid onto a face of any size and place,
    as the photo is, for every codec.

    The last photo is held out; of one photo the mirrored one is, which does not gain by what copies its pixels.

    Args:
        photos: `[n,3,512,512]`, the best first: it is the start.

    Raises:
        InputError: the model takes nothing of a person, or there is no embedding for its tokens.
    """

    def __init__(
        self,
        model: OneStepModel,
        identity: Identity,
        photos: torch.Tensor,
        options: FittingOptions,
        device: torch.device,
        analyzer: FaceAnalyzer | None,
        face_loss: FaceLoss,
    ) -> None:
        if not model.takes_identity:
            raise InputError(f"{model.card.name} takes neither reference nor identity tokens: nothing can be fitted")
        self._start = photos[:1]
        self._vector: torch.Tensor | None = None
        self.changes: dict[str, torch.Tensor] = {}
        if model.takes_reference:
            self.changes["reference"] = torch.zeros(1, 3, GRID, GRID, requires_grad=True)
        if model.id_tokens is not None:
            self._vector = token_embedding(identity, model, analyzer, fitted=False).clone().float().cpu()
            self.changes["embedding"] = torch.zeros_like(self._vector, requires_grad=True)
        self._model, self._options, self._device, self._loss = normal_model(model, device), options, device, face_loss
        self._size = _side(model, options)
        alone = len(photos) == 1
        self._photos = photos if alone else photos[:-1]
        self._checks = self._draw(photos.flip(-1) if alone else photos[-1:], CHECKS, (1,), bend=False)
        settings = repr(replace(options, steps=1, save_every=1))
        self.key = f"{model.model_id} {settings} {face_loss.terms} {len(photos)} {float(photos.double().sum()):.6f}"

    @property
    def least_gain(self) -> float:
        return LEAST_GAIN

    def parts(self) -> Parts:
        made: Parts = {}
        if "reference" in self.changes:
            # as the identity's file keeps it
            made[fitted_key(self._model.model_id, "reference")] = self._reference()[0].half().float()
        if "embedding" in self.changes:
            made[fitted_key(self._model.model_id, "embedding")] = self._embedding()[0]
        return made

    def loss(self, step: int) -> torch.Tensor:
        copies = self._draw(self._photos, self._options.batch, (0, step), bend=True)
        pull = sum((change.square().mean() for change in self.changes.values()), torch.zeros(()))
        return self._face_loss(copies) + PULL * pull.to(self._device)

    def held_out_loss(self) -> float:
        return float(self._face_loss(self._checks))

    def _draw(self, photos: torch.Tensor, count: int, seed: tuple[int, ...], *, bend: bool) -> Copies:
        options = self._options
        return draw_copies(photos, self._size, options.degradations, count, (options.seed, *seed), bend=bend)

    def _face_loss(self, copies: Copies) -> torch.Tensor:
        """Of the whole model on the copies, told what is fitted."""
        bad = copies.bad.to(self._device)
        sample = {"bad": bad, **self._told(copies.landmarks)}
        picture = restore(self._model, sample).picture
        return self._loss(picture, copies.good.to(self._device), copies.landmarks)

    def _told(self, landmarks: torch.Tensor) -> dict[str, torch.Tensor]:
        """What `training.objective.restore` wants of references and embeddings."""
        count, told = len(landmarks), dict[str, torch.Tensor]()
        if "reference" in self.changes:
            reference = self._reference()
            laid = [self._laid(reference, Face((0.0, 0.0, 1.0, 1.0), points, 1.0)) for points in landmarks]
            told["reference"], told["mask"] = (torch.cat(parts).to(self._device) for parts in zip(*laid, strict=True))
            told["has_reference"] = torch.ones(count, device=self._device)
        if "embedding" in self.changes:
            told["embedding"] = self._embedding().expand(count, -1).to(self._device)
            told["has_embedding"] = torch.ones(count, device=self._device)
        return told

    def _laid(self, reference: torch.Tensor, face: Face) -> tuple[torch.Tensor, torch.Tensor]:
        """As `restore.conditions` lays it: the picture `[1,3,S,S]` and the mask `[1,1,S,S]`."""
        size = self._size
        if self._model.reference_placement == "warped":
            return warped_reference(reference, face, size, size)
        return resize(reference, size, size), face_location(face, size, size)

    def _reference(self) -> torch.Tensor:
        change = F.interpolate(self.changes["reference"], size=(CROP_SIDE, CROP_SIDE), mode="bilinear")
        return (self._start + PIXEL_UNIT * change).clamp(0, 1)

    def _embedding(self) -> torch.Tensor:
        if self._vector is None:
            raise ValueError("this model has no identity tokens")
        unit = self._vector.shape[1] ** -0.5
        return F.normalize(self._vector + unit * self.changes["embedding"], dim=1)


def _side(model: OneStepModel, options: FittingOptions) -> int:
    """Of the copies, about that of the model's training crops."""
    scales = [find_degradation(name).scale for name in options.degradations]
    multiple = math.lcm(model.size_rule.multiple, *scales)
    return max(multiple, model.trained_size // multiple * multiple)

