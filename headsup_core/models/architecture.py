"""The declarative record of a self-contained one-step model, and how networks are built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from ..errors import ModelFileError
from .codecs.block_transform import BlockTransformAutoencoder
from .codecs.codec import Codec
from .id_tokens import IdTokenRecord, IdTokens
from .one_step import ModelCard, NoReference, OneStepModel, ReferencePlacement, SizeRule, eye_range
from .prediction import Epsilon, LatentResidual, PredictionRule
from .prompts import CachedPrompt

CodecClass = Literal["AutoencoderKL", "AutoencoderTiny", "BlockTransformAutoencoder"]


@dataclass(frozen=True)
class Architecture:
    """Everything but the weights of a one-step model; JSON-serialisable by `to_json`.

    Attributes:
        codec_class, codec, unet: constructor arguments of the diffusers classes.
        rule: {"kind": "latent_residual", "timestep": t} or {"kind": "epsilon", "timestep": t}.
        prompt_tokens: length n of the one stored prompt embedding `[1,n,D]`.
        trained_size: side in output pixels of the training crops.
        margin: pixels by which a picture is continued on each side before it is encoded.
        trained_eyes: least and largest eye distance in output pixels of the faces trained on, or None.
        id_tokens: of the identity tokens, or None.
    """

    codec_class: CodecClass
    codec: Mapping[str, Any]
    unet: Mapping[str, Any]
    rule: Mapping[str, Any]
    scale: int = 4
    trained_size: int = 192
    prompt_tokens: int = 1
    default_color_fix: str = "none"
    default_tile: int = 0
    margin: int = 0
    no_reference: NoReference = "zero_latent"
    reference_placement: ReferencePlacement = "aligned"
    trained_eyes: tuple[float, float] | None = None
    id_tokens: IdTokenRecord | None = None
    card: ModelCard = field(default_factory=lambda: ModelCard("unnamed", "unknown"))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Architecture:
        """Read the record of a file's header. Raises `ModelFileError` on unknown or missing fields."""
        try:
            fields: dict[str, Any] = {**record, "card": ModelCard(**record["card"])}
            fields["id_tokens"] = IdTokenRecord.from_json(record.get("id_tokens"))
            fields["trained_eyes"] = eye_range(record.get("trained_eyes"))
            return cls(**fields)
        except (TypeError, ValueError, KeyError) as error:
            raise ModelFileError(f"the architecture record of the model file is not understood: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers."""
        return asdict(self)

    def build(self, prompt: torch.Tensor | None = None) -> OneStepModel:
        """Networks with fresh weights (on the current default device; use "meta" to load weights afterwards).

        Args:
            prompt: stored embedding `[1,n,D]`; None: a random one.

        Raises:
            ModelFileError: the record names unknown classes or arguments.
        """
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        classes = {
            "AutoencoderKL": AutoencoderKL,
            "AutoencoderTiny": AutoencoderTiny,
            "BlockTransformAutoencoder": BlockTransformAutoencoder,
        }
        if self.codec_class not in classes:
            raise ModelFileError(f"codec class {self.codec_class!r} is unknown: expected one of {', '.join(classes)}")
        try:
            codec = Codec(classes[self.codec_class](**_tuples(self.codec)))
            unet = UNet2DConditionModel(**_tuples(self.unet))
            id_tokens = None if self.id_tokens is None else IdTokens.beside(unet, self.id_tokens)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the architecture record does not describe a network: {error}") from error
        wanted = {codec.channels, 2 * codec.channels + 1}
        inputs, outputs = unet.config["in_channels"], unet.config["out_channels"]
        if inputs not in wanted or outputs != codec.channels:
            raise ModelFileError(
                f"a UNet of {inputs} -> {outputs} channels does not fit a codec of {codec.channels}: "
                f"expected {sorted(wanted)} -> {codec.channels}"
            )
        if prompt is None:
            prompt = torch.randn(1, self.prompt_tokens, unet.config["cross_attention_dim"])
        multiple = codec.factor * 2 ** (len(unet.config["block_out_channels"]) - 1)
        return OneStepModel(
            codec=codec,
            unet=unet,
            rule=_rule(self.rule),
            prompt=CachedPrompt(prompt),
            size_rule=SizeRule(multiple, multiple),
            scale=self.scale,
            trained_size=self.trained_size,
            default_color_fix=self.default_color_fix,
            default_tile=self.default_tile,
            margin=self.margin,
            no_reference=self.no_reference,
            reference_placement=self.reference_placement,
            trained_eyes=self.trained_eyes,
            card=self.card,
            id_tokens=id_tokens,
        )


def _rule(record: Mapping[str, Any]) -> PredictionRule:
    kind, timestep = record.get("kind"), record.get("timestep")
    if not isinstance(timestep, int):
        raise ModelFileError(f"prediction rule {dict(record)} has no integer timestep")
    if kind == "latent_residual":
        return LatentResidual(timestep)
    if kind == "epsilon":
        return Epsilon.at(timestep)
    raise ModelFileError(f"prediction rule {kind!r} is unknown: expected latent_residual or epsilon")


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples; diffusers wants them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
