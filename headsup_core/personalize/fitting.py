"""ID fitting (arXiv 2508.10937, 3.3): everything is frozen, only the identity's embedding learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..host import Host, PlainHost
from ..identity.identity import Identity
from ..idfsr.identity_vector import identity_vector
from ..idfsr.model import IDFSRModel
from ..idfsr.unet import IDFSRNetwork
from ..whole_files import whole_file
from .examples import FittingExamples

MAX_PHOTOS = 10
"""The paper sweeps 2 to 10 and finds the knee at about 5."""
HELD_OUT_FROM = 3
"""With this many photos one is held out: two are needed as target and reference."""
CHECKS = 16
"""Draws of (t, noise) over which the held-out loss is a mean, always the same."""


@dataclass(frozen=True)
class FittingOptions:
    """How long and how fast; the paper prints none of it.

    Attributes:
        learning_rate: of Adam, in standard deviations over the training's people, so that it fits any recogniser.
        batch: examples a step.
        scales: by which the photos' LRs are reduced.
        check_every: steps between two looks at the held-out photo.
        patience: looks without a better loss after which the fitting stops.
        save_every: steps between two saved states.
    """

    steps: int = 200
    learning_rate: float = 0.05
    batch: int = 8
    scales: tuple[int, ...] = (8, 16)
    seed: int = 0
    check_every: int = 20
    patience: int = 4
    save_every: int = 20

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise InputError(f"{self.steps} steps of {self.batch}: both must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning rate {self.learning_rate}: must be above 0")
        if not self.scales or min(self.scales) < 1:
            raise InputError(f"scales {self.scales}: at least one, each 1 or more")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came out.

    Attributes:
        identity: with the embedding in `fitted[model.model_id]`.
        losses: of each step.
        held_out: (step, loss on the held-out photo); empty without one.
        best_step: whose embedding was taken.
    """

    identity: Identity
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    best_step: int


def fit_identity(
    identity: Identity,
    model: IDFSRModel,
    options: FittingOptions | None = None,
    host: Host | None = None,
    analyzer: FaceAnalyzer | None = None,
    state: Path | None = None,
) -> Fitted:
    """Fit an embedding to the photos of `identity`, starting from their mean embedding; the same for the same seed.

    With `HELD_OUT_FROM` photos or more the last (the weakest) is held out and its loss decides which embedding is
    taken and when to stop; else it is the last step's. It runs under `torch.inference_mode`, too.

    Args:
        analyzer: embeds the photos when the identity has no embedding of the model's recogniser.
        state: file from which an interrupted fitting of the same photos and options goes on, exactly; removed at the
            end.

    Raises:
        InputError: no photos, or no embedding to start from.
    """
    options, host = options or FittingOptions(), host or PlainHost()
    with torch.inference_mode(False), torch.enable_grad():
        frozen = _normal_copy(model, host.device)
        photos = identity.crops[:MAX_PHOTOS].clone().to(host.device)
        if not len(photos):
            raise InputError(f"identity {identity.name!r} holds no photos: encode the person from photos to fit to")
        start = identity_vector(identity, model, analyzer, fitted=False).clone().to(host.device)
        return _Fitting(identity, frozen, photos, start, options, host, state).run()


class _Fitting:
    def __init__(
        self,
        identity: Identity,
        model: IDFSRModel,
        photos: torch.Tensor,
        start: torch.Tensor,
        options: FittingOptions,
        host: Host,
        state: Path | None,
    ) -> None:
        self._identity, self._model, self._options, self._host = identity, model, options, host
        self._state = state
        held = photos[-1:] if len(photos) >= HELD_OUT_FROM else None
        self._examples = FittingExamples(photos if held is None else photos[:-1], model, options.scales)
        self._checks = None if held is None else _checks(held, photos[:1], model, options)
        self._start, self._scale = start, model.network.identity_tokens.scale
        self._change = torch.zeros_like(start, requires_grad=True)
        self._optimizer = torch.optim.Adam([self._change], lr=options.learning_rate)
        self._losses: list[float] = []
        self._held_out: list[tuple[int, float]] = []
        self._best = (0, start.detach().clone())
        settings = repr(replace(options, steps=1, save_every=1))
        self._key = (
            f"{model.model_id} {settings} {len(photos)} {float(photos.double().sum()):.6f} {float(start.sum()):.6f}"
        )

    def run(self) -> Fitted:
        self._resume()
        options = self._options
        with self._host.progress(options.steps) as progress:
            progress.advance(len(self._losses))
            self._check()
            while len(self._losses) < options.steps and not self._worse_for_long():
                self._host.check_cancelled()
                self._step()
                if len(self._losses) % options.check_every == 0 or len(self._losses) == options.steps:
                    self._check()
                if len(self._losses) % options.save_every == 0:
                    self._save()
                progress.advance()
        if self._checks is None:
            self._best = (len(self._losses), self._vector().detach())
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        step, vector = self._best
        fitted: Mapping[str, torch.Tensor] = {**self._identity.fitted, self._model.model_id: vector.cpu()}
        identity = replace(self._identity, fitted=fitted)
        return Fitted(identity, tuple(self._losses), tuple(self._held_out), step)

    def _vector(self) -> torch.Tensor:
        return self._start + self._change * self._scale

    def _step(self) -> None:
        chance = torch.Generator().manual_seed(self._options.seed * 1_000_003 + len(self._losses))
        targets, seen, styles = self._examples.draw(self._options.batch, chance)
        loss = self._model.loss(targets, seen, styles, self._vector().expand(len(targets), -1), chance)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._losses.append(float(loss.detach()))

    @torch.no_grad()
    def _check(self) -> None:
        """Look at the held-out photo, once a step."""
        step = len(self._losses)
        if self._checks is None or any(step == known for known, _ in self._held_out):
            return
        targets, seen, styles = self._checks.take(torch.arange(CHECKS) % len(self._checks))
        chance = torch.Generator().manual_seed(self._options.seed)
        vector = self._vector()
        loss = float(self._model.loss(targets, seen, styles, vector.expand(CHECKS, -1), chance))
        if loss < min((known for _, known in self._held_out), default=math.inf):
            self._best = (step, vector.clone())
        self._held_out.append((step, loss))

    def _worse_for_long(self) -> bool:
        since = sum(step > self._best[0] for step, _ in self._held_out)
        return since >= self._options.patience

    def _save(self) -> None:
        if self._state is None:
            return
        content = {
            "key": self._key,
            "change": self._change.detach(),
            "optimizer": self._optimizer.state_dict(),
            "losses": self._losses,
            "held_out": self._held_out,
            "best": self._best,
        }
        with whole_file(self._state) as temporary:
            torch.save(content, temporary)

    def _resume(self) -> None:
        if self._state is None or not self._state.exists():
            return
        content: dict[str, Any] = torch.load(self._state, map_location=self._start.device, weights_only=True)
        if content.get("key") != self._key:
            return
        with torch.no_grad():
            self._change.copy_(content["change"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._losses, self._held_out = content["losses"], content["held_out"]
        self._best = content["best"]


def _checks(held: torch.Tensor, reference: torch.Tensor, model: IDFSRModel, options: FittingOptions) -> FittingExamples:
    """The held-out photo as the target, the best photo as its reference."""
    return FittingExamples(torch.cat([held, reference]), model, options.scales, only_first=True)


def _normal_copy(model: IDFSRModel, device: torch.device) -> IDFSRModel:
    """`model` with frozen weights that autograd takes: those loaded under `inference_mode` it does not."""
    with torch.device("meta"):
        network = IDFSRNetwork(model.architecture)
    weights = {name: value.clone().to(device, torch.float32) for name, value in model.network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)
    return replace(model, network=network)
