"""FID (arXiv 1706.08500): the distance between two sets of pictures; it needs thousands of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...libraries import need

INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
"""What piq downloads when it is not in torch's hub folder."""
ENOUGH = 2048
"""Pictures: with fewer than the network has features, the covariances are singular and the distance is biased."""


class Frechet:
    """Features of every system's results and of the truths, piq's Inception."""

    def __init__(self, pictures: int, network: Any = None) -> None:  # noqa: ANN401 - as piq's
        """Ready only with the weights and enough pictures; `left_out` says why it is not.

        Args:
            network: pictures `[B,3,H,W]` -> a list with features `[B,D,...]`; None: Inception, by its file.
        """
        self.left_out = "" if network is not None else _reason(pictures)
        self._network = network
        if network is None and not self.left_out:
            from piq.feature_extractors import InceptionV3

            self._network = InceptionV3().eval()
        self._features: dict[str, list[torch.Tensor]] = {}

    @torch.no_grad()
    def add(self, name: str, image: torch.Tensor) -> None:
        """A picture `[1,3,H,W]` in 0..1 of the set `name`."""
        if self._network is not None:
            self._features.setdefault(name, []).append(self._network(image)[0].flatten(1))

    def distances(self, truth: str) -> Mapping[str, float]:
        """From each set to the one called `truth`; empty when it is left out."""
        if truth not in self._features:
            return {}
        features = {name: torch.cat(vectors) for name, vectors in self._features.items()}
        true = features.pop(truth)
        fid = need("piq", purpose="measuring").FID()
        return {name: float(fid.compute_metric(own, true)) for name, own in features.items()}


def _reason(pictures: int) -> str:
    if pictures < ENOUGH:
        return f"FID is left out: {pictures} pictures, it needs {ENOUGH}"
    if not (Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE).is_file():
        return f"FID is left out: torch's folder hub/checkpoints has no {INCEPTION_FILE}"
    return ""
