"""The declarative record of an IDFSR model (arXiv 2508.10937), and the published sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from ...errors import InputError, ModelFileError
from ...models.record import ModelCard

Prediction = Literal["noise", "velocity", "residual"]


@dataclass(frozen=True)
class IDFSRArchitecture:
    """Everything but the weights; JSON-serialisable by `to_json`.

    Attributes:
        size: side in pixels of the faces that it restores, a multiple of patch * 2^(levels - 1).
        channels: of the first level.
        multipliers: of `channels`, one a level, each half as fine as the one before.
        encoder_multipliers: the same of the style encoder.
        attention_level: the level with attention, counted from 0 (DiffAE: where pictures have 16 px); the middle
            blocks have it, too.
        residuals: blocks a level.
        embedding: D of the identity's embedding.
        embedder: which recogniser's, as `FaceAnalyzer.embedder_id` names it.
        tokens, token_width: of the identity in the cross-attention; the paper names neither.
        style: width S of z_s.
        time: width E of the embedded timestep.
        groups: of the normalisations.
        dropout: in the UNet's blocks, while training.
        patch: side of the pixel blocks that the UNet takes as one place (space to depth); 1 in the paper, 2 makes a
            step four times cheaper, which a CPU needs.
        sees_reference: the UNet also reads the warped reference beside [x_t, I_M], 9 channels in place of 6. Not the
            paper's: there z_s alone, a vector, brings what the reference shows.
        predicts: what the network gives and its loss compares: "noise" (the paper, eq. 5), or "velocity" (arXiv
            2202.00512), from which noise and face follow exactly. Of noise alone a face comes only when the network
            copies x_t to better than 1 %, for which a CPU's few thousand steps do not suffice. "residual" is a form
            of our own: what is diffused is (x_0 - I_W) / spread, and the network gives it itself, so that an untrained
            one, which gives zeros, already gives the warped reference (and the LR about it).
        spread: the standard deviation that residuals are taken to have, in the range -1..1; of "residual" alone.
        masked: the LR's face is masked out (the paper); False: I_M is the whole enlarged LR.
        steps: of DDIM. A model that predicts residuals is trained at their timesteps alone.
    """

    size: int
    channels: int
    multipliers: Sequence[int]
    encoder_multipliers: Sequence[int]
    attention_level: int
    residuals: int = 2
    embedding: int = 512
    embedder: str = ""
    tokens: int = 4
    token_width: int = 512
    style: int = 512
    time: int = 512
    groups: int = 32
    dropout: float = 0.1
    patch: int = 1
    sees_reference: bool = False
    predicts: Prediction = "noise"
    spread: float = 0.25
    masked: bool = True
    steps: int = 20
    card: ModelCard = field(default_factory=lambda: ModelCard("unnamed", "unknown"))

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Prediction):
            raise InputError(f"predicts {self.predicts!r}: must be one of {', '.join(get_args(Prediction))}")
        if self.spread <= 0:
            raise InputError(f"spread {self.spread}: must be above 0")
        levels = max(len(self.multipliers), len(self.encoder_multipliers))
        multiple = self.patch * 2 ** (levels - 1)
        if self.size < 2 or self.size % multiple:
            raise InputError(f"size {self.size}: must be a multiple of {multiple} for {levels} levels")
        if not 0 <= self.attention_level < min(len(self.multipliers), len(self.encoder_multipliers)):
            raise InputError(f"attention level {self.attention_level}: there are {len(self.multipliers)}, from 0")

    @property
    def inputs(self) -> int:
        """Channels that the UNet reads: x_t, I_M and perhaps I_W."""
        return 9 if self.sees_reference else 6

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> IDFSRArchitecture:
        """Read the record of a file's header or of a training configuration.

        A `preset` names one of `PRESETS`, of which the other fields differ. Raises `ModelFileError` on unknown or
        missing fields.
        """
        fields = dict(record)
        try:
            if "card" in fields:
                fields["card"] = ModelCard(**fields["card"])
            preset = fields.pop("preset", None)
            return cls(**fields) if preset is None else replace(PRESETS[preset], **fields)
        except (TypeError, KeyError, InputError) as error:
            raise ModelFileError(f"the architecture record of the IDFSR model is not understood: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers."""
        return asdict(self)


ARCFACE = "insightface_w600k_r50"
"""The recogniser of insightface's default pack, buffalo_l: an ArcFace of 512 values; the paper names none."""
FFHQ128 = IDFSRArchitecture(128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4), attention_level=3, embedder=ARCFACE)
"""DiffAE's FFHQ128, which the paper may have started from (it prints no size)."""
FFHQ256 = IDFSRArchitecture(256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4), attention_level=4, embedder=ARCFACE)
"""DiffAE's FFHQ256, the same."""
TINY = IDFSRArchitecture(
    128,
    48,
    (1, 2, 3, 3),
    (1, 2, 2, 3),
    attention_level=2,
    residuals=1,
    embedding=128,
    embedder="dlib_resnet_v1",
    token_width=128,
    style=256,
    time=256,
    groups=8,
    dropout=0.0,
    patch=2,
    predicts="velocity",
)
"""What a CPU can train; at 64 px the same weights."""

PRESETS: Mapping[str, IDFSRArchitecture] = {"ffhq128": FFHQ128, "ffhq256": FFHQ256, "idfsr-tiny": TINY}
