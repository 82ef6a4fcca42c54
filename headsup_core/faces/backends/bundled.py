"""Our own landmark net over windows of the picture: needs no library and no file, finds upright faces, knows nobody.

It is the default where dlib cannot be imported, as on Pythons that dlib-bin has no wheel for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from typing_extensions import override

from ...host import Host, PlainHost
from ..analyzer import AnalyzerBase, DetectionOptions, Licence
from ..face import Face
from ..window_search import faces_in_windows

FINEST = 48
"""Longer side of the picture over the least eye distance that is looked for: the windows grow with its square."""


class BundledAnalyzer(AnalyzerBase):
    """The landmark net that comes with the pack as a detector.

    Args:
        host: may cancel between any two sizes.
    """

    name = "bundled"
    licence = Licence("our landmark net: MIT", True)
    embedder_id = ""
    needs = ""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or PlainHost()

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        longer = max(picture.shape[-2:])
        eyes = max(options.min_eye_distance, longer / FINEST)
        return faces_in_windows(picture, eyes, math.inf, self._host)

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        raise NotImplementedError("AnalyzerBase asks only those that have an embedder_id")
