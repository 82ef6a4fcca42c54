"""Attention scores are never held as a matrix, in the UNet and in the codec's middle, whole or in parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch.profiler import ProfilerActivity, profile

from headsup_core.models.bases.base import Base
from headsup_core.models.codecs.codec import Codec
from headsup_core.models.codecs.exact_parts import Parts

CPU = torch.device("cpu")


def largest_block(run: Any) -> int:
    """Bytes of the largest single allocation while `run` runs."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    return max(event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]")


def attentions(network: Any) -> list[Any]:
    return [layer for layer in network.modules() if type(layer).__name__ == "Attention"]


def test_every_attention_uses_the_fused_kernel(base: Base) -> None:
    layers = [*attentions(base.unet), *attentions(base.vae)]
    assert len(layers) == 14
    assert {type(layer.processor) for layer in layers} == {AttnProcessor2_0}


def test_the_measure_sees_a_matrix_of_scores() -> None:
    q = torch.rand(1, 2, 1024, 8)
    assert largest_block(lambda: (q @ q.transpose(-1, -2)).softmax(-1) @ q) >= 2 * 1024**2 * 4
    fused = torch.nn.functional.scaled_dot_product_attention
    assert largest_block(lambda: fused(q, q, q)) < 1024**2 * 4


@pytest.mark.parametrize("way", ["unet", "encode", "decode", "encode in parts", "decode in parts"])
def test_memory_grows_with_the_places_and_not_with_their_square(base: Base, way: str) -> None:
    codec, parts = Codec(base.vae), Parts(64, CPU)

    def run(side: int) -> None:
        latent, picture = torch.rand(1, 4, side, side), torch.rand(1, 3, 2 * side, 2 * side)
        if way == "unet":
            base.unet(latent, 999, encoder_hidden_states=torch.rand(1, 7, 16))
        elif way == "encode":
            codec.encode(picture)
        elif way == "decode":
            codec.decode(latent)
        elif way == "encode in parts":
            codec.encode_in_parts(picture, parts)
        else:
            codec.decode_in_parts(latent, parts)

    small, large = (largest_block(lambda side=side: run(side)) for side in (32, 96))
    assert large < 96**4 * 4 / 2, "half a matrix of 9216 x 9216 scores"
    assert large < 1.2 * 9 * small
