"""What stays the same while pictures are restored: for a call of `restore()`, and for the stages of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..faces import FaceAnalyzer
from ..host import Host, PlainHost, Progress
from ..models.one_step import OneStepModel
from .headsup_model import HeadsUpModel
from .options import RestoreOptions
from .people.conditions import Calls, Conditions, KnownFace, UprightReferences
from .people.tracking import FaceTracker


@dataclass(frozen=True, eq=False)
class Session:
    """A model, what is asked of it, and where it runs; several calls may share one.

    Attributes:
        model: with the people who may be in the pictures.
        host: device, memory, progress and cancelling.
        analyzer: finds and recognises faces; None: that of the faces, or the default one.
        references: those of the people, encoded; filled while pictures are restored.
        tracker: follows the faces, when the pictures that are restored one after the other are frames of one video.
    """

    model: HeadsUpModel
    options: RestoreOptions
    host: Host = field(default_factory=PlainHost)
    analyzer: FaceAnalyzer | None = None
    references: UprightReferences = field(default_factory=dict[tuple[str, int, int, int], torch.Tensor])

    tracker: FaceTracker | None = None

    @property
    def one_step(self) -> OneStepModel:
        """The networks."""
        return self.model.one_step


@dataclass(frozen=True, eq=False)
class Run:
    """What goes with a picture through the stages.

    Attributes:
        prompt: embeddings `[p,n,D]`.
        noise: draws the latent from the codec's posterior; None: the posterior's mean.
        small: the input `[1,3,h,w]` in 0..1, for models that look at it; None: what is encoded.
        strength: how much of a reference counts, 0 to 1.
        with_plain: give the picture without conditions, too, for one more run of the decoder.
        references: upright references that were encoded already, shared by pictures and tiles.
        single: tell the UNet of a known face in one call, without mixing.
    """

    model: OneStepModel
    host: Host
    progress: Progress
    prompt: torch.Tensor
    noise: torch.Generator | None = None
    small: torch.Tensor | None = None
    strength: float = 1.0
    with_plain: bool = False
    references: UprightReferences = field(default_factory=dict[tuple[str, int, int, int], torch.Tensor])
    single: bool = False

    def conditions(self, known: Sequence[KnownFace]) -> Conditions | None:
        """What the tiles of a picture are told of these faces; None when there are none."""
        if not known:
            return None
        alone: Calls = "single and plain" if self.with_plain else "single"
        calls: Calls = alone if self.single else "mixed"
        return Conditions(known, self.model, self.host, self.strength, self.references, calls)
