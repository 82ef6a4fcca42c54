"""IDFSR (arXiv 2508.10937) against its peers on aligned faces, whole and with conditions left out.

The subcommand `benchmark idfsr` gives `idfsr_systems` as contestants to the comparison of every other system, with
`AlignedFaces` of the model's size as cases and a likeness whose faces lie at `conditioning.aligned_face(size)`. Nothing
below this folder knows of it: what a comparison asks of a contestant are the protocols `System` and `FromFile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ..benchmark.comparing.contestants import Reference, System
from ..benchmark.comparing.peers import Bicubic
from ..faces.analyzer import FaceAnalyzer
from ..host import Host
from ..identity.identity import Identity
from ..imaging.resizing import resize
from ..restoring.headsup_model import HeadsUpModel
from ..restoring.options import RestoreOptions
from ..restoring.pipeline import restore
from .conditioning import Seen, aligned_face, see
from .identity_vector import identity_vector
from .idfsr_model import IDFSRModel
from .known_faces import faces_of_aligned, load_model
from .left_out import leave_out

WARPED, ONE_STEP = "reference warped", "headsup-tiny with reference"


def inputs(image: torch.Tensor, size: int, person: Identity | None, model: IDFSRModel) -> tuple[torch.Tensor, Seen]:
    """The enlarged LR `[1,3,size,size]` of an aligned face, and what the model sees of it."""
    low = resize(image, size, size).clamp(0, 1)
    photo = None if person is None or not len(person.crops) else person.crops[:1]
    return low, see(low, aligned_face(size), photo, masked=model.architecture.masked)


@dataclass(frozen=True, eq=False)
class WarpedReference:
    """I_W: the reference's face laid onto the LR's, nothing else."""

    model: IDFSRModel
    name: str = WARPED
    tells: Reference = "reference"

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        return inputs(image, height, next(iter(people), None), self.model)[1].warped


@dataclass(frozen=True, eq=False)
class OneStepWithReference:
    """headsup-tiny, told whose face it is and where; without the gate, which would look at the result."""

    model: HeadsUpModel
    analyzer: FaceAnalyzer
    host: Host
    name: str = ONE_STEP
    tells: Reference = "reference"

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        faces = faces_of_aligned(image.shape[-2], image.shape[-1], 1, next(iter(people), None))
        options = RestoreOptions(long_edge=max(height, width), identity_gate="off")
        people = tuple(people)
        analyzer, host = self.analyzer, self.host
        return restore(image, self.model, options, faces=faces, people=people, analyzer=analyzer, host=host).image


@dataclass(frozen=True, eq=False)
class FaceModel:
    """An IDFSR model on an aligned face.

    Attributes:
        file: of its weights.
        without: names of `idfsr.left_out.CONDITIONS`.
    """

    name: str
    model: IDFSRModel
    host: Host
    file: Path
    tells: Reference = "reference"
    without: tuple[str, ...] = ()

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        person = people[0]
        low, seen = inputs(image, height, person, self.model)
        vector = identity_vector(person, self.model)[None]
        out = {name: torch.ones(1, dtype=torch.bool) for name in self.without}
        seen, vector = leave_out(seen, low, vector, self.model.network.identity_tokens.mean.cpu(), out)
        placed = seen.moved(partial(torch.Tensor.to, device=self.host.device))
        return self.model.restore(placed, vector.to(self.host.device)).cpu()


def idfsr_systems(
    model: IDFSRModel, file: Path, host: Host, analyzer: FaceAnalyzer
) -> list[System]:
    """Bicubic, the warp, headsup-tiny, the model, and the model with a stranger's photo and without conditions."""
    host.load([model.network], 0)
    whole = FaceModel(model.architecture.card.name, model, host, file)
    architecture = model.architecture
    sees = "mask" if architecture.masked else "face"
    conditions = [sees, "reference", "identity", *(["sight"] if architecture.sees_reference else [])]
    return [
        Bicubic(),
        WarpedReference(model),
        OneStepWithReference(load_model(host=host), analyzer, host),
        whole,
        replace(whole, name="stranger", tells="stranger"),
        *(replace(whole, name=f"no {name}", without=(name,)) for name in conditions),
    ]
