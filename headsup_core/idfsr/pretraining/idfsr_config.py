"""The training configuration of IDFSR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...option_fields import within
from ...training.run_config import RunConfig, check_shares, rooted, rooted_sources
from ..left_out import CONDITIONS
from ..network.idfsr_architecture import IDFSRArchitecture
from .aligned_photos import FaceSource
from .face_samples import LOW, EmbeddingFrom


@dataclass(frozen=True, kw_only=True)
class IDFSRConfig(RunConfig):
    """Everything that decides a run, with `RunConfig`.

    Attributes:
        low: how faces become their LR, names of `idfsr_data.LOW` and their shares.
        analyzer: whose recogniser gives the embeddings; its id must be the architecture's.
        left_out: of how many samples, as a share, each condition is left out, so that the same weights can do without
            it and show what it is worth: names of `CONDITIONS`. Empty as the paper trains.
        embedding_from: "truth" as the paper pretrains, or "reference", which is what there is in use.
        init: file to start from, read only when the run begins: an exported IDFSR model (at another size), or a DiffAE
            checkpoint. "" starts from random weights.
        teacher: YuNet's file, for portraits without annotated landmarks; "" when all have them.
        jitter: how wrongly faces are aligned: radians, share of the scale, and of half the side.
        lpips: weight of LPIPS-squeeze on the faces that a step believes in; of a model that predicts residuals only,
            whose steps all believe in a face. 0 as the paper trains.
        identity: weight of `loss_terms.identity_loss` on them, as above.
        lpips_backbone, recogniser: the files that those two need.
        gradient_checkpointing: less memory for about a third more time.
    """

    architecture: IDFSRArchitecture
    sources: tuple[FaceSource, ...]
    low: Mapping[str, float]
    left_out: Mapping[str, float] = field(default_factory=dict)
    analyzer: str = "dlib"
    embedding_from: EmbeddingFrom = "truth"
    init: str = ""
    teacher: str = ""
    jitter: float = within(0.02, 0)
    lpips: float = within(0.0, 0)
    identity: float = within(0.0, 0)
    lpips_backbone: str = ""
    recogniser: str = ""
    gradient_checkpointing: bool = False
    batch: int = within(16, 1)
    learning_rate: float = within(5e-4, 0)
    ema: float = within(0.999, 0, 1)
    workers: int = within(0, 0)
    sample_every: int = within(500, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self.low, "low", LOW)
        check_shares(self.left_out, "left_out", CONDITIONS)
        for name, file in (("lpips", "lpips_backbone"), ("identity", "recogniser")):
            if getattr(self, name) and not getattr(self, file):
                raise InputError(f"{name} {getattr(self, name)}: this loss needs a file, {file}")
            if getattr(self, name) and self.architecture.predicts != "residual":
                raise InputError(
                    f"{name} {getattr(self, name)}: this loss judges faces, which a step of a model that predicts "
                    f"{self.architecture.predicts} does not give: predict residuals, or set it to 0"
                )

    @classmethod
    def fields_of(cls, record: Mapping[str, Any], data: Path) -> dict[str, Any]:
        return {
            **record,
            "architecture": IDFSRArchitecture.from_json(record["architecture"]),
            "sources": tuple(FaceSource(**source) for source in rooted_sources(record, data)),
            **rooted(record, ("teacher", "lpips_backbone", "recogniser"), data),
        }
