"""Cases of single faces, cut out upright: what IDFSR restores."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ...faces.alignment import align_matrix, crop, misplaced, scale_of, similarity, template
from ...faces.analyzer import FaceAnalyzer
from ...image_files import read_picture
from .cases import CleanFolder, fit

PHOTO_SIDE = 1024
"""Longer side in pixels to which photos are reduced before their face is looked for."""


@dataclass(frozen=True)
class AlignedFaces(CleanFolder):
    """Each picture's largest face, aligned to the FFHQ template at `size` px, then degraded.

    Attributes:
        analyzer: finds the faces in the clean pictures.
        misplaced: how wrongly they lie on the template, since whoever has only the bad picture cuts it no better
            (`faces.alignment.misplaced`); the reference photos lie as their landmarks say.
    """

    analyzer: FaceAnalyzer | None = None
    misplaced: float = 0.0

    def clean(self, path: Path) -> torch.Tensor:
        """The aligned face `[1,3,size,size]` of one of `files()`, misplaced. Raises `InputError` as `photo`."""
        chance = np.random.default_rng([self.seed, zlib.crc32(path.name.encode())])
        return self._aligned(path, misplaced(template("ffhq", self.size), self.size, self.misplaced, chance))

    def photo(self, path: Path) -> torch.Tensor:
        """The aligned face `[1,3,size,size]` of one of `files()`, well placed.

        Raises:
            InputError: the picture cannot be read, holds no face, or one that is smaller than `size`, or `size` is no
                multiple of the degradation's scale.
        """
        return self._aligned(path, template("ffhq", self.size))

    def _aligned(self, path: Path, goal: torch.Tensor) -> torch.Tensor:
        if self.size % self.scale:
            raise InputError(f"faces of {self.size} px cannot be reduced {self.scale} times: another --degradation")
        picture = fit(read_picture(path).rgb, PHOTO_SIDE, 1)
        if self.analyzer is None:
            raise InputError("aligned faces need a face analyzer")
        found = self.analyzer.detect(picture)[0]
        if not found:
            raise InputError(f"{path.name}: no face was found in it")
        matrix = similarity(found[0].landmarks, goal)
        if scale_of(align_matrix(found[0].landmarks, self.size)) > 1:
            least = found[0].eye_distance * scale_of(align_matrix(found[0].landmarks, self.size))
            raise InputError(
                f"{path.name}: its face is too small for {self.size} px: eyes {found[0].eye_distance:.0f} px apart, "
                f"{least:.0f} are needed"
            )
        return crop(picture, matrix, self.size).clamp(0, 1)
