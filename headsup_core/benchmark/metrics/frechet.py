"""FID (arXiv 1706.08500), the distance between two sets of pictures, with the resize of clean-fid (arXiv 2104.11222).

The network is piq's port of the published Inception. The distance is our own few lines, since piq's needs more pictures
than the network has features: of fewer its covariances are singular, and its matrix root does not converge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from .metric import NotMeasured, hub_checkpoints

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
"""What piq downloads when it is not in torch's hub folder."""
SIDE = 299
UNBIASED = 50_000
"""Pictures that publications with comparable distances use; of fewer the distance is larger by chance alone."""


class Frechet:
    """Features of every system's results and of the truths, for any number of pictures from two on."""

    def __init__(self, network: Any = None) -> None:  # noqa: ANN401 - as piq's
        """Ready only with the weights; `left_out` says why it is not.

        Args:
            network: pictures `[B,3,299,299]` around -1..1 -> a list with features `[B,D,...]`; None: Inception, by
                its file.
        """
        self.left_out = ""
        self._network = network
        self._features: dict[str, list[torch.Tensor]] = {}
        if network is None:
            try:
                hub_checkpoints(INCEPTION_FILE)
            except NotMeasured as reason:
                self.left_out = f"FID is left out: {reason}"
                return
            from piq.feature_extractors import InceptionV3

            self._network = InceptionV3(resize_input=False, normalize_input=False).eval()

    @torch.no_grad()
    def add(self, name: str, image: torch.Tensor) -> None:
        """A picture `[1,3,H,W]` in 0..1 of the set `name`, rounded to 8 bits as it would be saved."""
        if self._network is not None:
            self._features.setdefault(name, []).append(self._network(inception_input(image))[0].flatten(1))

    def distances(self, truth: str) -> Mapping[str, float]:
        """From each set to the one called `truth`; empty when it is left out, or of fewer than two pictures."""
        if len(self._features.get(truth, ())) < 2:
            return {}
        features = {name: torch.cat(vectors) for name, vectors in self._features.items() if len(vectors) > 1}
        true = features.pop(truth)
        return {name: frechet_distance(own, true) for name, own in features.items()}

    def notes(self, truth: str) -> list[str]:
        """What a reader of the distances has to know."""
        count = len(self._features.get(truth, ()))
        if self.left_out or count >= UNBIASED:
            return [self.left_out] if self.left_out else []
        if count < 2:
            return [f"FID is left out: of {count} pictures there is no covariance"]
        return [f"FID is of {count} pictures: compare it with distances of the same {count} pictures only."]


def inception_input(image: torch.Tensor) -> torch.Tensor:
    """`[1,3,H,W]` in 0..1 -> `[1,3,299,299]`: clean-fid's resize, antialiased bicubic of each channel in float, and
    (x - 128) / 128 of the levels 0..255."""
    levels = (image[0].clamp(0, 1) * 255).round().numpy()
    resized = [
        np.asarray(Image.fromarray(channel).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for channel in levels
    ]
    return (torch.from_numpy(np.stack(resized)).clamp(0, 255)[None] - 128) / 128


def frechet_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of features `[n,D]` and `[m,D]`, two pictures or more each.

    With S = C^T C of the centred features C / sqrt(n - 1), the last trace is the sum of the singular values of
    C_a C_b^T, which exists for any number of pictures; C's triangular factor keeps it small when they are many.
    """
    roots: list[torch.Tensor] = []
    for features in (a.double(), b.double()):
        centred = (features - features.mean(dim=0)) / (len(features) - 1) ** 0.5
        roots.append(torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred)
    shift = a.double().mean(dim=0) - b.double().mean(dim=0)
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return float(shift.square().sum() + sum(root.square().sum() for root in roots) - 2 * cross)
