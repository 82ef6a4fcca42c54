"""z_id of a person for a model."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..faces.analyzer import FaceAnalyzer
from ..identity.identity import Identity
from .idfsr_model import IDFSRModel


def identity_vector(
    identity: Identity, model: IDFSRModel, analyzer: FaceAnalyzer | None = None, *, fitted: bool = True
) -> torch.Tensor:
    """The embedding `[D]` that was fitted for this model, or the mean of the photos' embeddings.

    Args:
        analyzer: embeds the identity's photos when it has no embedding of the model's recogniser.
        fitted: False: the photos' even when there is a fitted one.

    Raises:
        InputError: the identity has neither, and `analyzer` has another recogniser; all are named. Or what was fitted
            is not as long as the model's.
    """
    own, length = identity.fitted.get(model.model_id), model.architecture.embedding
    if fitted and own is not None:
        if len(own) != length:
            raise InputError(
                f"identity {identity.name!r}: what was fitted for {model.model_id} has {len(own)} numbers, the model "
                f"takes {length}: fit it again"
            )
        return own
    wanted = model.architecture.embedder
    if wanted in identity.embeddings:
        return identity.embeddings[wanted]
    if analyzer is not None and analyzer.embedder_id == wanted:
        return identity.embedding_for(analyzer)
    known = ", ".join(identity.embeddings) or "none"
    raise InputError(
        f"identity {identity.name!r} holds embeddings of {known}, the model takes those of {wanted}: encode the person "
        f"with the analyzer that gives {wanted}"
    )
