"""More photos of somebody who is known already."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer, unit
from .encoding import MAX_CROPS
from .identity import Identity
from .similarity import calibration_of, compare


def merged(known: Identity, more: Identity, analyzer: FaceAnalyzer) -> Identity:
    """`known` with the photos of `more`, as if they had been encoded together.

    The embedding is the mean over the used photos of both; the crops of the best photos are kept.

    Args:
        analyzer: the one that encoded `more`.

    Raises:
        InputError: the two are clearly different people, or `known` has neither an embedding of this analyzer nor
            photos.
    """
    embedder = analyzer.embedder_id
    mine, theirs = known.embedding_for(analyzer), more.embedding_for(analyzer)
    alike = compare(mine, theirs, embedder)
    if alike.score < calibration_of(embedder).reject:
        raise InputError(
            f"{known.name!r} is the name of somebody else already ({alike}): give this person another name, or take "
            "the wrong photo out"
        )
    vector = unit(mine * _used(known) + theirs * _used(more))
    pairs = [*_crops(known), *_crops(more)]
    best = sorted(pairs, key=lambda pair: -pair[0])[:MAX_CROPS]  # stable: earlier photos first
    crops = torch.cat([crop for _quality, crop in best]) if best else known.crops
    return replace(
        known,
        embeddings={**more.embeddings, **known.embeddings, embedder: vector},
        crops=crops,
        photos=(*known.photos, *more.photos),
    )


def _used(identity: Identity) -> int:
    """How many photos its embedding stands for."""
    return max(1, sum(photo.used for photo in identity.photos))


def _crops(identity: Identity) -> list[tuple[float, torch.Tensor]]:
    """Quality and crop `[1,3,512,512]` of each; crops are kept in the order of falling quality."""
    qualities = sorted((photo.quality for photo in identity.photos if photo.used), reverse=True)
    qualities += [0.0] * (len(identity.crops) - len(qualities))
    return list(zip(qualities, identity.crops.split(1), strict=False)) if len(identity.crops) else []
