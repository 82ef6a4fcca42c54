"""A tiny IDFSR model of random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from headsup_core.idfsr.idfsr_file import save_idfsr
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork

SMALL = IDFSRArchitecture(
    64, 8, (1, 2), (1, 2), 1, residuals=1, embedding=128, embedder="dlib_resnet_v1", token_width=8, style=8, time=8,
    groups=4,
)  # fmt: skip


def write_idfsr(path: Path, architecture: IDFSRArchitecture = SMALL) -> None:
    """Write a model of random weights to a file."""
    network = IDFSRNetwork(architecture)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    path.parent.mkdir(parents=True, exist_ok=True)
    save_idfsr(path, IDFSRModel(network, architecture))
