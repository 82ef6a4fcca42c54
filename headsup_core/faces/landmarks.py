"""Our own small landmark net: five landmarks and "is this a face" from a crop, for detectors that give only a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ..models.file_formats.weights_files import load_network, read_weights
from .alignment import FFHQ_512, composed, crop, inverse, scale_of, similarity, transform_points

SIDE = 64
"""Pixels of the net's input."""
EYES_PER_SIDE = 4.0
"""The input's side over the distance between the eyes."""
FACE_BOX = (-1.10, -1.16, 1.10, 1.82)
"""x0, y0, x1, y1 from the middle between the eyes in eye distances: the mean of YuNet's boxes on clean portraits."""
WEIGHTS = Path(__file__).parent / "bundled" / "face-landmarks.safetensors"


@dataclass(frozen=True)
class Candidate:
    """Where a face may be: centre of its landmarks and eye distance in pixels, and how far it is turned.

    Attributes:
        angle: radians by which the line from the left to the right eye is turned clockwise, as seen.
    """

    x: float
    y: float
    eye_distance: float
    angle: float = 0.0

    def matrix(self) -> torch.Tensor:
        """Picture to the net's input, `[2,3]`."""
        scale = SIDE / (EYES_PER_SIDE * self.eye_distance)
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        linear = torch.tensor([[cosine, sine], [-sine, cosine]])
        centre = (SIDE - 1) / 2
        return torch.cat([linear, centre - linear @ torch.tensor([[self.x], [self.y]])], dim=1)


def mean_landmarks() -> torch.Tensor:
    """Where the landmarks of a well-placed face lie in the net's input, `[5,2]` in pixels."""
    points = FFHQ_512 - FFHQ_512.mean(0)
    eyes = torch.linalg.vector_norm(points[1] - points[0])
    return points * (SIDE / EYES_PER_SIDE) / eyes + (SIDE - 1) / 2


class LandmarkNet(nn.Module):
    """Crops `[n,3,64,64]` in 0..1 -> landmarks `[n,5,2]` in the crop's pixels, logits `[n]` of being a face."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(3, 24, 2), *_block(24, 32, 1), *_block(32, 48, 2), *_block(48, 48, 1), *_block(48, 64, 2),
            *_block(64, 64, 1), *_block(64, 80, 2), nn.Flatten(), nn.Linear(80 * 16, 80), nn.SiLU(),
        )  # fmt: skip
        self.points = nn.Linear(80, 10)
        self.face = nn.Linear(80, 1)
        self.register_buffer("mean", mean_landmarks(), persistent=False)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        # contrast and brightness of each crop are taken out: old photos are flat, snapshots are dark
        centred = crops - crops.mean(dim=(1, 2, 3), keepdim=True)
        features = self.body(centred / (centred.std(dim=(1, 2, 3), keepdim=True) + 0.02))
        offsets = self.points(features).reshape(-1, 5, 2) * (SIDE / 8)
        return self.mean + offsets, self.face(features)[:, 0]


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()]


@lru_cache(maxsize=1)
def bundled_landmark_net() -> LandmarkNet:
    """The net that comes with the pack, frozen, on the CPU: it takes a millisecond a face.

    Raises:
        ModelFileError: the file is damaged or missing.
    """
    with torch.device("meta"):
        net = LandmarkNet()
    tensors = read_weights(WEIGHTS).content
    load_network(net, tensors, torch.float32, WEIGHTS)
    net.mean = mean_landmarks()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def find_landmarks(
    image: torch.Tensor, candidates: Sequence[Candidate], net: LandmarkNet | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks `[n,5,2]` in pixels of `image` `[1,3,H,W]`, and logits `[n]` of being a face.

    The net looks twice: at the candidate's crop, then at the crop aligned by what it found, upright and mirrored.
    """
    if not candidates:
        return torch.zeros(0, 5, 2), torch.zeros(0)
    net = net or bundled_landmark_net()
    image = image.float().cpu()
    matrices = [candidate.matrix() for candidate in candidates]
    first, first_logits = net(_crops(image, matrices))
    matrices = [_realign(matrix, points) for matrix, points in zip(matrices, first, strict=True)]
    crops = _crops(image, matrices)
    points, logits = net(crops)
    mirrored, mirrored_logits = net(crops.flip(-1))
    mirrored = torch.stack([SIDE - 1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)[:, [1, 0, 2, 4, 3]]
    found = [
        transform_points(inverse(matrix), (a + b) / 2)
        for matrix, a, b in zip(matrices, points, mirrored, strict=True)
    ]
    return torch.stack(found), (logits + mirrored_logits + first_logits) / 3


def _crops(image: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([crop(*_window(image, matrix), SIDE) for matrix in matrices])


def _window(image: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The part of `image` that a crop sees with some surroundings, and the matrix for it: `crop` reduces what it is
    given, which of a large photo takes long."""
    height, width = image.shape[-2:]
    seen = transform_points(inverse(matrix), torch.tensor([[0.0, 0.0], [SIDE, 0.0], [0.0, SIDE], [SIDE, SIDE]]) - 0.5)
    margin = 8 / scale_of(matrix)
    low, high = (seen.amin(0) - margin).tolist(), (seen.amax(0) + margin).tolist()
    x0, y0 = (min(max(0, math.floor(value)), side - 1) for value, side in zip(low, (width, height), strict=True))
    x1, y1 = (min(max(1, math.ceil(value)), side) for value, side in zip(high, (width, height), strict=True))
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    shifted = composed(matrix, torch.tensor([[1.0, 0.0, x0], [0.0, 1.0, y0]]))
    return image[..., y0:y1, x0:x1], shifted


def _realign(matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The matrix of a crop in which the landmarks found lie as `mean_landmarks`."""
    return composed(similarity(points, mean_landmarks()), matrix)


def box_around(landmarks: torch.Tensor) -> tuple[float, float, float, float]:
    """The upright box around `FACE_BOX`, turned and sized as the eyes of `landmarks` `[5,2]` are."""
    eyes = torch.stack([landmarks[0], landmarks[1]])
    matrix = similarity(torch.tensor([[-0.5, 0.0], [0.5, 0.0]]), eyes)
    x0, y0, x1, y1 = FACE_BOX
    corners = transform_points(matrix, torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
    return low[0], low[1], high[0], high[1]
