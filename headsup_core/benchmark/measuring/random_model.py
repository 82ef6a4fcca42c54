"""A model of Stable Diffusion 2.1's shape at a quarter of its width, with random weights: to measure, not to look at.

Time, memory and what tiling changes depend on the shape; the weights are scaled so that latents and pictures are in
the range of real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...host import Host
from ...models.bases.base import SD2_UNET, SD_VAE, Base
from ...models.bases.text_encoder import SD2_TEXT, TextEncoder
from ...models.codecs.codec import Codec
from ...models.file_formats.weights_files import WeightsFile
from ...models.loading import resolve_dtype
from ...models.one_step import OneStepModel
from ...models.prediction import Epsilon
from ...models.prompts import CachedPrompt
from ...models.record import ModelCard, ModelRecord
from ...restoring.headsup_model import HeadsUpModel, load_model

NAME = "random-sd21-quarter"
UNET_WIDTHS, VAE_WIDTHS = [96, 160, 320, 320], [32, 64, 128, 128]
PROMPT_TOKENS, TIMESTEP = 77, 999
RECORD = ModelRecord(
    ModelCard(NAME, "none: random weights"), Epsilon(TIMESTEP), minimum_side=512, default_color_fix="adain"
)
_UNET_SHARE, _DECODER_SHARE = 0.2, 0.5
"""How much of the last convolutions' random weights is kept, so that x0 has a deviation of about 1, and pictures keep
within -1..1."""


def random_model(dtype: torch.dtype = torch.float32) -> HeadsUpModel:
    """The model, the same in every process: UNet 96/160/320/320, VAE 32/64/128/128, everything else as SD 2.1-base."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet_config: dict[str, Any] = {**SD2_UNET, "block_out_channels": UNET_WIDTHS}
    vae_config: dict[str, Any] = {**SD_VAE, "block_out_channels": VAE_WIDTHS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # diffusers' layers draw from the global state, which is put back
        unet, vae = UNet2DConditionModel(**unet_config), AutoencoderKL(**vae_config)
        prompt = torch.randn(1, PROMPT_TOKENS, SD2_UNET["cross_attention_dim"])
    ends: tuple[tuple[nn.Module, float], ...] = ((unet.conv_out, _UNET_SHARE), (vae.decoder.conv_out, _DECODER_SHARE))
    with torch.no_grad():
        for layer, share in ends:
            for parameter in layer.parameters():
                parameter.mul_(share)
    networks: tuple[Any, ...] = (unet, vae)
    for network in networks:
        network.to(dtype).eval().requires_grad_(False)
    return HeadsUpModel(OneStepModel(Codec(vae), unet, CachedPrompt(prompt), RECORD))


def random_base(*, quarter: bool = False) -> Base:
    """Stable Diffusion 2.1-base with random weights, fp32: 866 million numbers in the UNet, 84 in the VAE; its text
    encoder's 340 million are drawn when a prompt is encoded.

    Args:
        quarter: a quarter of the width, and a text encoder of one layer.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet_config, vae_config, text_config = dict(SD2_UNET), dict(SD_VAE), dict(SD2_TEXT)
    if quarter:
        unet_config["block_out_channels"], vae_config["block_out_channels"] = UNET_WIDTHS, VAE_WIDTHS
        text_config |= {"num_hidden_layers": 1, "intermediate_size": 64}
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**unet_config)
        vae: Any = AutoencoderKL(**vae_config)
    for seed, network in enumerate((unet, vae)):
        network.load_state_dict(_drawn(network, seed), assign=True)
        network.eval().requires_grad_(False)

    def read_text() -> WeightsFile:
        from transformers import CLIPTextConfig, CLIPTextModel

        with torch.device("meta"):
            text: nn.Module = CLIPTextModel(CLIPTextConfig(**text_config))
        return WeightsFile(Path("random"), _drawn(text, 2))

    return Base(Path("random"), unet, vae, TextEncoder(text_config, read_text))


def _drawn(network: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """A random tensor for each of a network on "meta": gains are 1, biases 0, and weights keep the size of what they
    are applied to."""
    chance = torch.Generator().manual_seed(seed)
    found: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.ndim < 2:
            found[name] = torch.ones(tensor.shape) if name.endswith("weight") else torch.zeros(tensor.shape)
        else:
            deviation = (tensor.numel() / tensor.shape[0]) ** -0.5
            found[name] = torch.empty(tensor.shape).normal_(0, deviation, generator=chance)
    return found


def load_measured(name: str, host: Host, dtype: str = "auto") -> HeadsUpModel:
    """A model by the name that benchmarks take: `random-sd21-quarter`, or as for `load_model`."""
    return random_model(resolve_dtype(dtype, host)) if name == NAME else load_model(name, host=host, dtype=dtype)
