"""What a training minimises: the model's restoration of a batch, and the weighted terms of its loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...errors import InputError
from ...libraries import need
from ...models.bases.base import Base
from ...models.one_step import OneStepModel
from ..losses.companions import Companion, Restoration
from ..losses.differentiable_recognisers import aligned_faces, aligned_landmarks, load_recogniser, told_embedding
from ..losses.distillation import Distillation
from ..losses.face_critic import FaceCritic
from ..losses.feature_critic import FeatureCritic
from ..losses.loss_terms import (
    colour_error,
    face_fidelity,
    identity_loss,
    periodic_texture,
    spectrum_distance,
    squared_error,
)
from ..losses.perceptual import load_lpips
from ..processes import Processes
from ..subject import Batch, Losses
from .restorer_config import RestorerConfig


@dataclass(frozen=True, eq=False)
class Prompts:
    """The text encoder's states for each sample, `[B,n,D]`: of the bad pictures, and of the good ones."""

    bad: torch.Tensor
    good: torch.Tensor


@dataclass(frozen=True, eq=False)
class SeenFaces:
    """The faces of a batch that lie wholly in their crops.

    Attributes:
        crops: in which crop each lies, `[F]`.
        landmarks: `[F,5,2]`.
        first: 1 for the face that a reference is of, `[F]`.
        shares: one over the faces of its crop and over the crops of the batch, `[F]`.
    """

    crops: torch.Tensor
    landmarks: torch.Tensor
    first: torch.Tensor
    shares: torch.Tensor

    @classmethod
    def of(cls, batch: Batch) -> SeenFaces:
        count = len(batch["good"])
        there, landmarks = batch["has_face"][:, None], batch["landmarks"][:, None]
        if "has_other" in batch:
            there = torch.cat([there, batch["has_other"]], dim=1)
            landmarks = torch.cat([landmarks, batch["other_faces"]], dim=1)
        crops, which = (there > 0).nonzero(as_tuple=True)
        shares = 1 / (there > 0).sum(1).clamp(min=1).float() / count
        return cls(crops, landmarks[crops, which], (which == 0).float(), shares[crops])


class Objective:
    """The terms of `config.LossWeights`, with the networks that they need.

    Args:
        base: the frozen diffusion model, for the distillation.

    Attributes:
        companions: what learns beside the model, by the name of its term.

    Raises:
        InputError: a term that asks for something the configuration does not name.
        ModelFileError: a network's file is missing or holds something else.
    """

    def __init__(self, config: RestorerConfig, base: Base | None, processes: Processes) -> None:
        self._config, self._weights, self._processes = config, config.loss, processes
        device, weights = processes.device, config.loss
        self._lpips = load_lpips(Path(config.lpips_backbone), config.lpips_net).to(device)
        if weights.ssim:
            need("piq", purpose="loss.ssim")  # now, and not at the first step
        if weights.identity and not config.recognisers:
            raise InputError(
                f"loss.identity is {weights.identity:g}, but no recogniser is named: name its file, or set it to 0"
            )
        self._recognisers = [load_recogniser(Path(file)).to(device) for file in config.recognisers]
        self.companions: dict[str, Companion] = {}
        if weights.adversarial:
            self.companions["adversarial"] = FaceCritic(config.critic_width, config.critic_learning_rate, device)
        if weights.features:
            if config.lpips_net != "squeeze":
                raise InputError(f"loss.features needs lpips_net squeeze, not {config.lpips_net}")
            self.companions["features"] = FeatureCritic(self._lpips, config.feature_learning_rate, device)
        if weights.distillation:
            if base is None or config.adapter is None:
                raise InputError("loss.distillation needs a diffusion model as base: set it to 0 for this model")
            settings = config.distillation
            self.companions["distillation"] = Distillation(base, config.adapter.prompt, settings, device)

    @property
    def judges(self) -> dict[str, nn.Module]:
        """The networks that judge what the model restores, by name."""
        named = {"LPIPS": self._lpips, **{f"{name}": each.network for name, each in self.companions.items()}}
        named.pop("distillation", None)  # an adapter: its calls are the UNet's
        several = len(self._recognisers) > 1
        return named | {
            f"recogniser{f' {index + 1}' * several}": each for index, each in enumerate(self._recognisers)
        }

    def losses(
        self, model: OneStepModel, batch: Batch, step: int, chance: torch.Generator, prompts: Prompts | None = None
    ) -> tuple[Losses, Restoration | None]:
        """The weighted terms, whose sum is minimised, and what the model made of the batch (None while the codec alone
        learns).

        Args:
            prompts: of each sample; None: the model's own for all.
        """
        weights, codec, good = self._weights, model.codec, batch["good"]
        if step < self._config.codec_steps:
            return {"codec": F.l1_loss(codec.decode(codec.encode(good)), good)}, None
        with self._processes.autocast():
            restored = restore(model, batch, None if prompts is None else prompts.bad)
        restored = replace(
            self._with_faces(restored, batch), truth=good, prompts=None if prompts is None else prompts.good
        )
        losses = self._picture_losses(restored.picture, good, step)
        if weights.codec:
            some = good[: max(1, len(good) // 3)]
            losses["codec"] = weights.codec * F.l1_loss(codec.decode(codec.encode(some)), some)
        if weights.periodic:
            losses["periodic"] = weights.periodic * periodic_texture(restored.picture - good, codec.factor)
        losses |= self._face_losses(restored, batch)
        for name, companion in self.companions.items():
            with self._processes.autocast():
                term = companion.term(restored, chance)
            if term is not None:
                losses[name] = getattr(weights, name) * term
        return losses, restored

    def _picture_losses(self, picture: torch.Tensor, good: torch.Tensor, step: int) -> Losses:
        weights = self._weights
        losses: Losses = {}
        if weights.l1:
            losses["l1"] = weights.l1 * F.l1_loss(picture, good)
        if weights.l2:
            losses["l2"] = weights.l2 * squared_error(picture, good)
        if weights.colour:
            losses["colour"] = weights.colour * colour_error(picture, good)
        if weights.lpips and step >= self._config.lpips_from:
            losses["lpips"] = weights.lpips * self._shifted_lpips(picture, good, step)
        if weights.spectrum:
            losses["spectrum"] = weights.spectrum * spectrum_distance(picture, good)
        if weights.ssim:
            losses["ssim"] = weights.ssim * (1 - similarity_of_structure(picture, good))
        return losses

    def _face_losses(self, restored: Restoration, batch: Batch) -> Losses:
        """Means over the faces that lie wholly in a crop, summed over the crops and divided by their number: a crop
        without a face adds 0."""
        weights, seen = self._weights, SeenFaces.of(batch)
        losses: Losses = {}
        if restored.faces is not None and restored.true_faces is not None and weights.face:
            fidelity = face_fidelity(
                restored.faces, restored.true_faces, self._lpips_each, weights.face_lpips, seen.shares
            )
            losses["face"] = weights.face * fidelity
        if weights.identity and len(seen.crops):
            losses["identity"] = weights.identity * self._identity(restored.picture, batch, seen)
        return losses

    def _identity(self, picture: torch.Tensor, batch: Batch, seen: SeenFaces) -> torch.Tensor:
        """The identity loss of the faces, mean over the recognisers: what a single one sees can be drawn for it alone;
        for several that is harder."""
        landmarks, crops = seen.landmarks.cpu(), seen.crops
        reference, known = batch["reference_face"][crops], batch["has_reference"][crops] * seen.first
        faces, truths = (aligned_faces(one[crops], landmarks) for one in (picture, batch["good"]))
        points = aligned_landmarks(landmarks).to(faces.device)
        losses: list[torch.Tensor] = []
        for network in self._recognisers:
            embed = partial(told_embedding, network, points)
            # a reference was aligned by its own landmarks, which lie on the template
            losses.append(identity_loss(embed, faces, truths, reference, known, seen.shares, network))
        return torch.stack(losses).mean()

    def _with_faces(self, restored: Restoration, batch: Batch) -> Restoration:
        seen = SeenFaces.of(batch)
        if not len(seen.crops) or not (self._weights.face or self._weights.adversarial or self._weights.features):
            return restored
        landmarks, side = seen.landmarks.cpu(), self._config.face_side
        faces, truths = (
            aligned_faces(one[seen.crops], landmarks, side, "ffhq") for one in (restored.picture, batch["good"])
        )
        return replace(restored, faces=faces, true_faces=truths)

    def _lpips_each(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self._lpips(a, b, normalize=True).flatten()

    def _plain_lpips(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self._lpips(a, b, normalize=True).mean()

    def _shifted_lpips(self, restored: torch.Tensor, good: torch.Tensor, step: int) -> torch.Tensor:
        """LPIPS at a random phase of its strided grid, so that no fixed checkerboard can please it."""
        chooser = torch.Generator().manual_seed(self._config.seed * 1_000_003 + step)
        dy, dx = torch.randint(0, 16, (2,), generator=chooser).tolist()
        return self._plain_lpips(restored[..., dy:, dx:], good[..., dy:, dx:])


def restore(model: OneStepModel, batch: Batch, prompts: torch.Tensor | None = None) -> Restoration:
    """The whole model on a batch, untiled and differentiable; samples without a reference get what the model has for
    none.

    Args:
        prompts: of each sample, `[B,n,D]`; None: the model's own.
    """
    codec = model.codec
    latent = codec.encode(batch["bad"])
    reference, mask = None, None
    if model.takes_reference:
        known = batch["has_reference"].view(-1, 1, 1, 1)
        mask = F.avg_pool2d(batch["mask"], codec.factor) * known
        reference = codec.encode(batch["reference"]) * known
        if model.no_reference != "zero_latent":
            reference = reference + model.empty_reference(latent) * (1 - known)
    told = model.prompt.embeddings(None) if prompts is None else prompts[None]
    clean = model.denoise(latent, told, reference, mask)
    return Restoration(clean, codec.decode(clean).float())


def similarity_of_structure(restored: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
    """SSIM of pictures `[B,3,H,W]` in 0..1, scalar, by piq."""
    from piq import ssim

    value: Any = ssim(restored.clamp(0, 1), good, downsample=False)
    return value
