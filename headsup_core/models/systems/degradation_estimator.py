"""S3Diff's degradation estimator (DEResNet): a picture -> its degrees of blur and noise, each in 0..1."""

from __future__ import annotations

import torch
from torch import nn

DEGREES = 2
STAGES = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1))
"""(width, width of the next stage, stride) of each stage; two residual blocks a stage."""
BLOCKS = 2
HIDDEN = 512


class ResidualBlock(nn.Module):
    """x + conv2(relu(conv1 x)), without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


class DegradationEstimator(nn.Module):
    """One branch per degree; the names of the layers are those of `de_net.pth`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = nn.ModuleList(nn.Conv2d(3, STAGES[0][0], 3, padding=1) for _ in range(DEGREES))
        self.body = nn.ModuleList(_body() for _ in range(DEGREES))
        self.fc_degree = nn.ModuleList(
            nn.Sequential(nn.Linear(STAGES[-1][1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1), nn.Sigmoid())
            for _ in range(DEGREES)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Degrees `[B,2]` in 0..1 of `image` `[B,3,h,w]` in 0..1."""
        degrees = [
            head(body(first(image)).mean(dim=(2, 3)))
            for first, body, head in zip(self.conv_first, self.body, self.fc_degree, strict=True)
        ]
        return torch.cat(degrees, dim=1)


def _body() -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following, stride in STAGES:
        layers += [ResidualBlock(width) for _ in range(BLOCKS)]
        if stride > 1 or following != width:
            layers.append(nn.Conv2d(width, following, 3, stride, padding=1))
    return nn.Sequential(*layers)
