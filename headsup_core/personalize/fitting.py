"""Fitting what a model is told of a person to a few photos; the model's weights stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..host import Host, PlainHost
from ..identity.fitted import with_fitted
from ..identity.identity import Identity
from ..idfsr.identity_vector import identity_vector
from ..idfsr.model import IDFSRModel
from ..models.one_step import OneStepModel
from .face_loss import FaceLoss
from .idfsr import IDFSRTask
from .loop import FittingLoop, Task
from .one_step import OneStepTask
from .options import MAX_PHOTOS, FittingOptions


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came out.

    Attributes:
        identity: with what was fitted in `fitted`, see `identity.fitted`.
        losses: of each step.
        held_out: (step, loss on the held-out photo); empty without one.
        best_step: whose result was taken; 0 is the start.
    """

    identity: Identity
    losses: tuple[float, ...]
    held_out: tuple[tuple[int, float], ...]
    best_step: int

    def summary(self) -> str:
        """Steps and losses in words."""
        held, text = dict(self.held_out), f"{len(self.losses)} steps"
        if not held:
            return f"{text}; no photo to hold out, the last step was taken"
        first, taken = f"held-out loss at first {held[0]:.4f}", held[self.best_step]
        if not self.best_step:
            return f"{text}; {first}, no step was clearly better: the start was taken"
        return f"{text}; step {self.best_step} was taken: held-out loss {taken:.4f}, at first {held[0]:.4f}"


def fit_identity(
    identity: Identity,
    model: IDFSRModel | OneStepModel,
    options: FittingOptions | None = None,
    host: Host | None = None,
    analyzer: FaceAnalyzer | None = None,
    state: Path | None = None,
    face_loss: FaceLoss | None = None,
) -> Fitted:
    """Fit to the photos of `identity`; the same for the same seed.

    IDFSR: the embedding, from the photos' mean embedding. A one-step model: its reference, from the best photo, and the
    embedding for its identity tokens, whichever it takes.

    With three photos or more the last, the weakest, is held out, and its loss decides which step is taken, the start
    included, and when to stop; else it is the last step. For a one-step model that is always so: of two photos one is
    held out, of one the mirrored photo, and a step must be better than the start by `one_step.LEAST_GAIN`.
    It runs under `torch.inference_mode`, too.

    Args:
        analyzer: embeds the photos when the identity has no embedding of the model's recogniser.
        state: file from which an interrupted fitting of the same photos and options goes on, exactly; removed at the
            end.
        face_loss: of a one-step model; None: of pixels alone.

    Raises:
        InputError: no photos, no embedding to start from, or a model that takes nothing of a person.
    """
    options, host = options or FittingOptions(), host or PlainHost()
    with torch.inference_mode(False), torch.enable_grad():
        photos = identity.crops[:MAX_PHOTOS].clone()
        if not len(photos):
            raise InputError(f"identity {identity.name!r} holds no photos: encode the person from photos to fit to")
        if isinstance(model, IDFSRModel):
            start = identity_vector(identity, model, analyzer, fitted=False).clone()
            task: Task = IDFSRTask(model, photos, start, options, host.device)
        else:
            task = OneStepTask(model, identity, photos, options, host.device, analyzer, face_loss or FaceLoss())
        outcome = FittingLoop(task, options, host, state).run()
    # of a one-step model the start is the photo itself, which is there already
    parts = outcome.parts if outcome.best_step or isinstance(model, IDFSRModel) else {}
    fitted = with_fitted(identity, parts)
    return Fitted(replace(identity, fitted=fitted), outcome.losses, outcome.held_out, outcome.best_step)
