"""Fitting an identity's embedding to a few photos; the model's weights stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...host import Host, PlainHost
from ...identity.identity import Identity
from ..identity_vector import identity_vector
from ..idfsr_model import IDFSRModel
from .fitting_loop import FittingLoop
from .fitting_options import FEWEST_PHOTOS, MAX_PHOTOS, FittingOptions
from .fitting_task import IDFSRTask


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came out.

    Attributes:
        identity: with the embedding in `fitted`, under the model's id; as it was when the held-out photo did not gain.
        losses: of each step.
        held_out: (step, loss on the held-out photo).
        best_step: whose result was taken; 0 is the start, with which nothing was stored.
    """

    identity: Identity
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    best_step: int

    def summary(self) -> str:
        """Steps and losses in words."""
        held, text = dict(self.held_out), f"{len(self.losses)} steps"
        first, taken = f"held-out loss at first {held[0]:.4f}", held[self.best_step]
        if not self.best_step:
            return f"{text}; {first}, no step was better: nothing was stored"
        return f"{text}; step {self.best_step} was taken: held-out loss {taken:.4f}, at first {held[0]:.4f}"


def fit_identity(
    identity: Identity,
    model: IDFSRModel,
    options: FittingOptions | None = None,
    host: Host | None = None,
    analyzer: FaceAnalyzer | None = None,
    state: Path | None = None,
) -> Fitted:
    """Fit the embedding to the photos of `identity`, from their mean embedding; the same for the same seed.

    The last photo, the weakest, is held out: its loss decides which step is taken and when to stop, and nothing is
    stored when no step is better than the start. It runs under `torch.inference_mode`, too.

    Args:
        analyzer: embeds the photos when the identity has no embedding of the model's recogniser.
        state: file from which an interrupted fitting of the same photos and options goes on, exactly; removed at the
            end.

    Raises:
        InputError: less than two photos, or no embedding to start from.
    """
    options, host = options or FittingOptions(), host or PlainHost()
    with torch.inference_mode(False), torch.enable_grad():
        photos = identity.crops[:MAX_PHOTOS].clone()
        if len(photos) < FEWEST_PHOTOS:
            raise InputError(
                f"identity {identity.name!r}: {len(photos)} of the {FEWEST_PHOTOS} to {MAX_PHOTOS} photos that fitting "
                "takes: one is held out, and tells whether the others gain anything"
            )
        start = identity_vector(identity, model, analyzer, fitted=False).clone()
        task = IDFSRTask(model, photos, start, options, host.device)
        outcome = FittingLoop(task, options, host, state).run()
    fitted = {key: vector for key, vector in identity.fitted.items() if key != model.model_id}
    if outcome.best_step:
        fitted[model.model_id] = outcome.embedding.cpu()
    return Fitted(replace(identity, fitted=fitted), outcome.losses, outcome.held_out, outcome.best_step)
