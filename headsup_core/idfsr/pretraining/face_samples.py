"""Training samples of IDFSR: an aligned face, its LR, a reference laid onto it, and an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from ...faces.alignment import crop, misplaced, similarity, template
from ...training.data.degradation import FirstOrder, degrade, enlarge
from ...training.data.pixels import as_image
from ...training.data.portraits import make_reference
from ...training.schedule import normalised
from ...training.subject import Batch
from .aligned_photos import AlignedPhoto, FaceSource

EmbeddingFrom = Literal["truth", "reference"]


def _clean(scale: int) -> FirstOrder:
    return FirstOrder(0.0, (0.0, 0.0), (0, 0), (100, 100), 0.0, scale=scale)


def _rough(scale: int) -> FirstOrder:
    return FirstOrder(0.3, (0.2, 1.5), (0, 6), (50, 95), 0.6, scale=scale)


LOW: Mapping[str, FirstOrder] = {
    f"x{scale}-{name}": make(scale) for scale in (4, 8, 16) for name, make in (("clean", _clean), ("rough", _rough))
}
"""How a face becomes its LR. `clean`: reduced, nothing else, which is all that the paper says. `rough`: a little blur,
noise and JPEG, too."""


class FaceDataset(Dataset[Batch]):
    """Samples of one size S: dictionaries of tensors.

    * good `[3,S,S]`, the true face, aligned about as well as in use; low `[3,S,S]`, its LR enlarged; both in 0..1.
    * placed `[3,S,S]`, mask `[1,S,S]`: the reference (`faces.reference.warped_reference`) where the face is taken to
      be, at the template, which is as wrong as the alignment.
    * embedding `[D]`: of the true photo (the paper's pretraining) or of the reference (as in use).

    Item i depends on (seed, i) alone.

    Args:
        photos: of each source.
        low: names of `LOW` and their shares.
    """

    def __init__(
        self,
        sources: Sequence[FaceSource],
        photos: Sequence[Sequence[AlignedPhoto]],
        low: Mapping[str, float],
        size: int,
        length: int,
        seed: int,
        embedding_from: EmbeddingFrom = "truth",
        jitter: float = 0.02,
    ) -> None:
        self._sources, self._photos = sources, photos
        self._shares = normalised([source.ratio for source in sources])
        self._low, self._low_shares = list(low), normalised(list(low.values()))
        self._size, self._length, self._seed = size, length, seed
        self._embedding_from, self._jitter = embedding_from, jitter
        self._others = [_others(of_source) for of_source in photos]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self._seed, index])
        place = int(rng.choice(len(self._sources), p=self._shares))
        number = int(rng.integers(len(self._photos[place])))
        photo = self._photos[place][number]
        others = self._others[place][number]
        copy = self._sources[place].references != "other_photo" or not others
        known = photo if copy else self._photos[place][others[int(rng.integers(len(others)))]]
        good = self._cut(photo, rng)
        mirrored = bool(rng.random() < 0.5)
        if mirrored:
            good = good.flip(-1)
        name = self._low[int(rng.choice(len(self._low), p=self._low_shares))]
        low = enlarge(degrade(good[None], LOW[name], int(rng.integers(2**31))), self._size)[0]
        believed = template("ffhq", self._size)
        reference = make_reference(known.aligned, believed, self._size, mirrored, rng, copy=copy)
        embedding = photo.embedding if self._embedding_from == "truth" else known.embedding
        return {
            "good": good,
            "low": low,
            "placed": reference.picture,
            "mask": reference.mask,
            "embedding": embedding,
        }

    def _cut(self, photo: AlignedPhoto, rng: np.random.Generator) -> torch.Tensor:
        """The face at S px, placed as wrongly as landmarks of a bad picture place it."""
        goal = misplaced(template("ffhq", self._size), self._size, self._jitter, rng)
        matrix = similarity(photo.landmarks, goal)
        return crop(as_image(photo.wide), matrix, self._size)[0].clamp(0, 1)


def _others(photos: Sequence[AlignedPhoto]) -> list[list[int]]:
    """For each photo the numbers of the person's other photos."""
    of_person: dict[str, list[int]] = {}
    for number, photo in enumerate(photos):
        of_person.setdefault(photo.person, []).append(number)
    return [[other for other in of_person[photo.person] if other != number] for number, photo in enumerate(photos)]
