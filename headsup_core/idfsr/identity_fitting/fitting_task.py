"""ID fitting (arXiv 2508.10937, 3.3): everything is frozen, only the identity's embedding learns."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..idfsr_model import IDFSRModel
from .differentiable_copy import normal_copy
from .fitting_examples import FittingExamples
from .fitting_options import FittingOptions

CHECKS = 16
"""Draws of (t, noise) over which the held-out loss is a mean, always the same."""


class IDFSRTask:
    """The change of z_id, in standard deviations over the training's people.

    Args:
        photos: `[n,3,512,512]`, two or more, the best first; the last is held out.
        start: z_id of the photos `[D]`.
    """

    def __init__(
        self,
        model: IDFSRModel,
        photos: torch.Tensor,
        start: torch.Tensor,
        options: FittingOptions,
        device: torch.device,
    ) -> None:
        model = replace(model, network=normal_copy(model.network, device))
        photos, start = photos.to(device), start.to(device)
        self._model, self._options, self._start = model, options, start
        self._examples = FittingExamples(photos[:-1], model, options.scales)
        self._checks = _checks(photos[-1:], photos[:1], model, options)
        self._scale = model.network.identity_tokens.scale
        self.change = torch.zeros_like(start, requires_grad=True)
        settings = repr(replace(options, steps=1, save_every=1))
        # differs between fittings of which one cannot go on with the state of the other
        self.key = (
            f"{model.model_id} {settings} {len(photos)} {float(photos.double().sum()):.6f} {float(start.sum()):.6f}"
        )

    @property
    def embedding(self) -> torch.Tensor:
        """z_id as it is now `[D]`."""
        return self._start + self.change * self._scale

    def loss(self, step: int) -> torch.Tensor:
        """The loss of a step, scalar, the same whenever it is asked for."""
        chance = torch.Generator().manual_seed(self._options.seed * 1_000_003 + step)
        targets, seen, styles = self._examples.draw(self._options.batch, chance)
        return self._model.loss(targets, seen, styles, self.embedding.expand(len(targets), -1), chance)

    def held_out_loss(self) -> float:
        """The held-out photo's loss, always over the same draws."""
        targets, seen, styles = self._checks.take(torch.arange(CHECKS) % len(self._checks))
        chance = torch.Generator().manual_seed(self._options.seed)
        return float(self._model.loss(targets, seen, styles, self.embedding.expand(CHECKS, -1), chance))


def _checks(held: torch.Tensor, reference: torch.Tensor, model: IDFSRModel, options: FittingOptions) -> FittingExamples:
    """The held-out photo as the target, the best photo as its reference."""
    return FittingExamples(torch.cat([held, reference]), model, options.scales, only_first=True)
