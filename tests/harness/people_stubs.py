"""Made-up people: whoever has a red face is one, and so on; and an analyzer that tells them apart by colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headsup_core.faces import Face, Faces, Licence
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions
from headsup_core.identity import Identity

EMBEDDER = "colour"
"""Not calibrated: a cosine of 0.65 is a score of 1."""
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class ColourAnalyzer(AnalyzerBase):
    """Finds the given faces; an embedding is the mean colour of the square between eyes and mouth."""

    name = "colours"
    licence = Licence("none", True)
    needs = ""

    def __init__(self, faces: Sequence[Face] = (), embedder: str = EMBEDDER) -> None:
        self.found, self.embedder_id, self.looked = tuple(faces), embedder, 0

    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        del picture, options
        self.looked += 1
        return self.found

    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        vectors: list[torch.Tensor] = []
        for face in faces:
            x, y = (round(value) for value in face.landmarks.mean(0).tolist())
            reach = max(1, round(face.eye_distance / 4))
            patch = picture[0, :, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            vectors.append(patch.mean((1, 2)) + 1e-6)
        return vectors


def person(name: str, colour: Sequence[float], *, photos: int = 1, embedder: str = EMBEDDER) -> Identity:
    """Somebody with a face of one colour."""
    vector = torch.tensor(colour)
    crops = vector.view(1, 3, 1, 1).expand(photos, 3, 512, 512).contiguous()
    return Identity(name, {embedder: vector / vector.norm()}, crops)


def paint(picture: torch.Tensor, face: Face, colour: Sequence[float]) -> torch.Tensor:
    """`picture` `[1,3,H,W]` with a square of a colour over a face."""
    painted = picture.clone()
    x, y = (round(value) for value in face.landmarks.mean(0).tolist())
    reach = round(face.eye_distance)
    values = torch.tensor(colour).view(3, 1, 1)
    painted[0, :, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = values
    return painted


def faces_of(picture: torch.Tensor, *faces: Face) -> Faces:
    """The faces of one picture."""
    return Faces((faces,), picture.shape[-2], picture.shape[-1])
