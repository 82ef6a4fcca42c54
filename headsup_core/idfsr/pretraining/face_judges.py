"""What judges the faces that a training step of IDFSR believes in, beside the diffusion's own loss."""

from __future__ import annotations

from pathlib import Path

import torch

from ...faces.alignment import align_matrix, crop, template
from ...training.losses.differentiable_recognisers import SIDE, load_recogniser
from ...training.losses.loss_terms import identity_loss
from ...training.losses.perceptual import squeeze_lpips
from ...training.subject import Losses
from .idfsr_config import IDFSRConfig


class FaceJudges:
    """LPIPS and the identity loss, those of them that have a weight.

    Raises:
        ModelFileError: a file that one of them needs is missing or holds something else.
    """

    def __init__(self, config: IDFSRConfig, device: torch.device) -> None:
        self._config = config
        self._lpips = squeeze_lpips(Path(config.lpips_backbone)).to(device) if config.lpips else None
        self._recogniser = load_recogniser(Path(config.recogniser)).to(device) if config.identity else None
        size = config.architecture.size
        self._to_recogniser = align_matrix(template("ffhq", size), SIDE, "arcface")

    def losses(self, faces: torch.Tensor, truth: torch.Tensor) -> Losses:
        """The weighted terms for aligned `faces` against `truth`, both `[B,3,S,S]` in 0..1."""
        found: Losses = {}
        if self._lpips is not None:
            found["lpips"] = self._config.lpips * self._lpips(faces, truth, normalize=True).mean()
        if self._recogniser is not None:
            aligned, true = (crop(one, self._to_recogniser, SIDE) for one in (faces, truth))
            found["identity"] = self._config.identity * identity_loss(self._recogniser, aligned, true)
        return found
