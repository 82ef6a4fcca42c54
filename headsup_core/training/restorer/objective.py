"""What a training minimises: the model's restoration of a batch, and the weighted terms of its loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ...errors import InputError
from ...models.bases.base import Base
from ...models.one_step import OneStepModel
from ..losses.companions import Companion, Restoration
from ..losses.differentiable_recognisers import aligned_faces, load_recogniser
from ..losses.distillation import Distillation
from ..losses.face_critic import FaceCritic
from ..losses.feature_critic import FeatureCritic
from ..losses.loss_terms import colour_error, face_fidelity, identity_loss, periodic_texture, squared_error
from ..losses.perceptual import load_lpips
from ..processes import Processes
from ..subject import Batch, Losses
from .restorer_config import RestorerConfig


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
        if weights.identity and not config.recognisers:
            raise InputError(f"loss.identity is {weights.identity:g}, but no recogniser is named")
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

    def losses(
        self, model: OneStepModel, batch: Batch, step: int, chance: torch.Generator
    ) -> tuple[Losses, Restoration | None]:
        """The weighted terms, whose sum is minimised, and what the model made of the batch (None while the codec alone
        learns)."""
        weights, codec, good = self._weights, model.codec, batch["good"]
        if step < self._config.codec_steps:
            return {"codec": F.l1_loss(codec.decode(codec.encode(good)), good)}, None
        with self._processes.autocast():
            restored = restore(model, batch)
        restored = replace(self._with_faces(restored, batch), truth=good)
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
        if weights.ssim:
            losses["ssim"] = weights.ssim * (1 - similarity_of_structure(picture, good))
        return losses

    def _face_losses(self, restored: Restoration, batch: Batch) -> Losses:
        """Sums over the faces that lie wholly in their crops, divided by the batch: a picture without a face adds 0."""
        weights = self._weights
        whole = batch["has_face"].nonzero().flatten().tolist()
        share = len(whole) / len(batch["good"])
        losses: Losses = {}
        if restored.faces is not None and restored.true_faces is not None and weights.face:
            fidelity = face_fidelity(restored.faces, restored.true_faces, self._plain_lpips, weights.face_lpips)
            losses["face"] = weights.face * share * fidelity
        if weights.identity and whole:
            identity = self._identity(restored.picture, batch, whole)
            losses["identity"] = weights.identity * share * identity
        return losses

    def _identity(self, picture: torch.Tensor, batch: Batch, whole: list[int]) -> torch.Tensor:
        """The identity loss of the samples `whole`, mean over the recognisers: what a single one sees can be drawn for
        it alone; for several that is harder."""
        landmarks = batch["landmarks"][whole].cpu()
        reference, known = batch["reference_face"][whole], batch["has_reference"][whole]
        faces, truths = (aligned_faces(one[whole], landmarks) for one in (picture, batch["good"]))
        seen = [identity_loss(each, faces, truths, reference, known) for each in self._recognisers]
        return torch.stack(seen).mean()

    def _with_faces(self, restored: Restoration, batch: Batch) -> Restoration:
        whole = batch["has_face"].nonzero().flatten().tolist()
        if not whole or not (self._weights.face or self._weights.adversarial or self._weights.features):
            return restored
        landmarks, side = batch["landmarks"][whole].cpu(), self._config.face_side
        faces, truths = (
            aligned_faces(one[whole], landmarks, side, "ffhq") for one in (restored.picture, batch["good"])
        )
        return replace(restored, faces=faces, true_faces=truths)

    def _plain_lpips(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self._lpips(a, b, normalize=True).mean()

    def _shifted_lpips(self, restored: torch.Tensor, good: torch.Tensor, step: int) -> torch.Tensor:
        """LPIPS at a random phase of its strided grid, so that no fixed checkerboard can please it."""
        chooser = torch.Generator().manual_seed(self._config.seed * 1_000_003 + step)
        dy, dx = torch.randint(0, 16, (2,), generator=chooser).tolist()
        return self._plain_lpips(restored[..., dy:, dx:], good[..., dy:, dx:])


def restore(model: OneStepModel, batch: Batch) -> Restoration:
    """The whole model on a batch, untiled and differentiable; samples without a reference get zeros for one."""
    codec = model.codec
    latent = codec.encode(batch["bad"])
    reference, mask = None, None
    if model.takes_reference:
        known = batch["has_reference"].view(-1, 1, 1, 1)
        mask = F.avg_pool2d(batch["mask"], codec.factor) * known
        reference = codec.encode(batch["reference"]) * known
    clean = model.denoise(latent, model.prompt.embeddings(None), reference, mask)
    return Restoration(clean, codec.decode(clean).float())


def similarity_of_structure(restored: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
    """SSIM of pictures `[B,3,H,W]` in 0..1, scalar, by piq."""
    from piq import ssim

    value: Any = ssim(restored.clamp(0, 1), good, downsample=False)
    return value
