"""A model with fresh weights from its record: for files that bring the weights, and for training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import ModelFileError
from .codecs.block_transform import BlockTransformAutoencoder
from .codecs.codec import Codec
from .one_step import OneStepModel, input_channels
from .prompts import CachedPrompt
from .record import ModelRecord


def build_model(record: ModelRecord, prompt: torch.Tensor | None = None) -> OneStepModel:
    """Networks with fresh weights (on the current default device; use "meta" to load weights afterwards).

    Args:
        record: of a model that is complete in itself.
        prompt: stored embedding `[1,n,D]`; None: a random one.

    Raises:
        ModelFileError: the record describes no networks, or names unknown arguments.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    classes = {
        "AutoencoderKL": AutoencoderKL,
        "AutoencoderTiny": AutoencoderTiny,
        "BlockTransformAutoencoder": BlockTransformAutoencoder,
    }
    described = record.architecture
    if described is None:
        raise ModelFileError(f"the record of {record.card.name} describes no networks: it is an adapter's")
    try:
        codec = Codec(classes[described.codec_class](**_tuples(described.codec)))
        unet = UNet2DConditionModel(**_tuples(described.unet))
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the record does not describe a network: {error}") from error
    wanted = input_channels(codec.channels)
    inputs, outputs = unet.config["in_channels"], unet.config["out_channels"]
    if inputs not in wanted or outputs != codec.channels:
        raise ModelFileError(
            f"a UNet of {inputs} -> {outputs} channels does not fit a codec of {codec.channels}: "
            f"expected {wanted} -> {codec.channels}"
        )
    if prompt is None:
        prompt = torch.randn(1, described.prompt_tokens, unet.config["cross_attention_dim"])
    return OneStepModel(codec, unet, CachedPrompt(prompt), record)


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples; diffusers wants them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
