"""`Face`: one face in one picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

Box = tuple[float, float, float, float]

NOBODY = ""
"""As `Face.identity`: said to be none of the known people."""

LANDMARK_NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""Left and right as seen in the picture."""


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, how sure we are, and who it may be.

    Pixel coordinates have whole numbers at pixel centres, as OpenCV has them: the picture reaches from -0.5 to W - 0.5.

    Attributes:
        box: x0, y0, x1, y1 in pixels; may reach outside the picture.
        landmarks: `[5,2]` float32, x and y in pixels, in the order of `LANDMARK_NAMES`.
        score: confidence of the detector, 0..1.
        embedding: unit vector `[D]` of the analyzer that embedded it, or None.
        identity: name of the identity that it is assigned to; `NOBODY`: of none; None: nobody has said.
        identity_score: calibrated similarity to that identity, or None.
        guessed: whether the identity was found by similarity; else somebody said so.
    """

    box: Box
    landmarks: torch.Tensor
    score: float
    embedding: torch.Tensor | None = None
    identity: str | None = None
    identity_score: float | None = None
    guessed: bool = False

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes."""
        return float(torch.linalg.vector_norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def scaled(self, x: float, y: float) -> Face:
        """The same face in a picture that is `x` times as wide and `y` times as high."""
        points = self.landmarks
        scale = points.new_tensor([x, y])
        x0, y0, x1, y1 = self.box
        box = (_scale(x0, x), _scale(y0, y), _scale(x1, x), _scale(y1, y))
        return replace(self, box=box, landmarks=(points + 0.5) * scale - 0.5)

    def moved(self, x: float, y: float) -> Face:
        """The same face in a picture whose content lies `x` pixels further right and `y` further down."""
        x0, y0, x1, y1 = self.box
        landmarks = self.landmarks + self.landmarks.new_tensor([x, y])
        return replace(self, box=(x0 + x, y0 + y, x1 + x, y1 + y), landmarks=landmarks)


def _scale(value: float, factor: float) -> float:
    return (value + 0.5) * factor - 0.5
