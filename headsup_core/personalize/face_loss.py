"""HeadsUp's face loss (arXiv 2510.09924, 3.2), of what there are weights for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..training.config import LossWeights
from ..training.losses import Distance, Embed, face_fidelity, identity_loss, squared_error
from ..training.recogniser import aligned_faces, load_recogniser

HEADSUP = LossWeights(face=1.0, face_lpips=0.8, identity=4.0)
"""The printed weights."""


@dataclass(frozen=True, eq=False)
class FaceLoss:
    """The squared error, with LPIPS and the identity term where their networks are given.

    Attributes:
        lpips: scalar distance of two batches `[B,3,S,S]` in 0..1, or None.
        embed: a differentiable recogniser: faces `[B,3,112,112]` in 0..1 -> `[B,D]`, or None.
    """

    lpips: Distance | None = None
    embed: Embed | None = None
    weights: LossWeights = HEADSUP

    @classmethod
    def of_files(
        cls, recogniser: Path | None = None, lpips_backbone: Path | None = None, device: torch.device | None = None
    ) -> FaceLoss:
        """With a recogniser (`load_recogniser`) and LPIPS-squeeze, each from its file, None without it.

        Raises:
            InputError: an ONNX file, but onnx2torch is not installed.
            ModelFileError: a file is missing or holds other layers.
        """
        embed = None if recogniser is None else load_recogniser(recogniser).to(device)
        if lpips_backbone is None:
            return cls(embed=embed)
        from ..training.perceptual import squeeze_lpips

        network = squeeze_lpips(lpips_backbone).to(device)

        def lpips(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return network(a, b, normalize=True).mean()

        return cls(lpips, embed)

    @property
    def terms(self) -> str:
        """Which count, in words."""
        names = ("squared error", *("LPIPS",) * (self.lpips is not None), *("identity",) * (self.embed is not None))
        return ", ".join(names)

    def __call__(self, restored: torch.Tensor, truth: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        """Scalar, of pictures `[B,3,S,S]` in 0..1 that each show a face with `landmarks` `[B,5,2]`."""
        side, weights = truth.shape[-1], self.weights
        faces, truths = (aligned_faces(one, landmarks, side, "ffhq") for one in (restored, truth))
        if self.lpips is None:
            loss = squared_error(faces, truths)
        else:
            loss = face_fidelity(faces, truths, self.lpips, weights.face_lpips)
        loss = weights.face * loss
        if self.embed is not None:
            small, true = (aligned_faces(one, landmarks) for one in (restored, truth))
            loss = loss + weights.identity * identity_loss(self.embed, small, true)
        return loss
