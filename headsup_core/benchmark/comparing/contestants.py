"""What is compared: each system as one function from a small picture to a large one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...host import Host
from ...identity.identity import Identity
from ...imaging.resizing import resize
from ...restoring.headsup_model import HeadsUpModel
from ...restoring.pipeline import restore

Reference = Literal["", "reference", "assigned", "stranger"]
"""Whose photo a system is given: nobody's; another one of the same person, who has to be recognised; the same, and it
is said which face is theirs; or one of somebody else, of whom it is said, too."""
TOLD: tuple[Reference, ...] = ("reference", "assigned", "stranger")
LEAST_EYES = DetectionOptions(min_eye_distance=6)
"""The faces of x8 have eyes 9 px apart, which is below the default."""


class System(Protocol):
    """One row of the table. One that has weights also has their `file`."""

    @property
    def name(self) -> str: ...

    @property
    def tells(self) -> Reference:
        """Whose photo it is to be given; "" for none."""
        ...

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        """`[1,3,height,width]` in 0..1 from a small picture `[1,3,h,w]`, and whoever is said to be in it."""
        ...


@dataclass(frozen=True, eq=False)
class Restorer:
    """A loaded model through `restore()`.

    Attributes:
        file: of its weights.
        options: further arguments of `restore()`.
        analyzer: finds the faces that the people are assigned to, or that are all that is restored.
        recognised: for each picture that was restored with a person's photo, whether they were recognised there.
    """

    name: str
    model: HeadsUpModel
    host: Host
    file: Path
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tells: Reference = ""
    analyzer: FaceAnalyzer | None = None
    recognised: list[bool] = field(default_factory=list[bool])

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        told = self._told(image, people) if people or self._cuts_faces else {}
        edge = max(height, width)
        restored = restore(image, self.model, long_edge=edge, host=self.host, **{**self.options, **told})
        if people:
            found = restored.faces
            self.recognised.append(found is not None and any(face.identity for face in found[0]))
        result = restored.image
        return result if result.shape[-2:] == (height, width) else resize(result, height, width)

    def with_tags(self, tags: str) -> Restorer:
        """The same system told what the picture shows, unless its name says so or it reads no text."""
        if "tags" in self.options or not self.model.one_step.prompt.reads_text:
            return self
        return replace(self, options={**self.options, "tags": tags})

    def remarks(self) -> list[str]:
        """How often it could not use the photo."""
        failed = len(self.recognised) - sum(self.recognised)
        return [f"{self.name}: the person was not recognised in {failed} of {len(self.recognised)}"] if failed else []

    @property
    def _cuts_faces(self) -> bool:
        """Whether it restores nothing but faces, which have to be found."""
        return self.model.one_step.size_rule.fixed and self.analyzer is not None

    def _told(self, image: torch.Tensor, people: Sequence[Identity]) -> dict[str, Any]:
        """What `restore` is given: faces, and who is to be looked for."""
        options: dict[str, Any] = {"people": tuple(people), "analyzer": self.analyzer}
        if self.analyzer is None:
            return options
        faces = self.analyzer.detect(image, LEAST_EYES)
        if not people and not faces.count and image.shape[-1] == image.shape[-2]:
            return options  # it may be a face that lies in place already
        if people and self.tells != "reference" and faces.count:
            first, *others = faces[0]
            faces = replace(faces, pictures=((replace(first, identity=people[0].name), *others),))
        return {**options, "faces": faces}
