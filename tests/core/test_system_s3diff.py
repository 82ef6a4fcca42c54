"""S3Diff."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from harness.system_checks import assert_loads_correctly
from harness.systems import alpha_bar, latent, merged, picture, s3diff_file, to_double
from torch import nn

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.one_step import Observation, OneStepModel
from headsup_core.models.systems.degradation_estimator import DegradationEstimator
from headsup_core.models.systems.s3diff import DegradationObserver


def modulated(content: dict[str, Any], degrees: torch.Tensor, kind: str, network: nn.Module, rank: int) -> Any:
    """The network with B M^T in place of B, written out; everything in fp64."""
    waves = [f(degree * content["w"] * 2 * torch.pi) for degree in degrees for f in (torch.sin, torch.cos)]
    layer = content[f"state_dict_{kind}_de_mlp"]
    features = (layer["0.weight"] @ torch.cat(waves) + layer["0.bias"]).relu()
    tensors = dict(content[f"state_dict_{kind}"])
    for name in [name for name in tensors if ".lora_A." in name]:
        parts = name.split(".")
        if kind == "unet":
            place = {"down_blocks": 0, "mid_block": 4, "up_blocks": 5}.get(parts[0], 9)
            block = place + (int(parts[1]) if place in (0, 5) else 0)
        else:
            block = int(parts[2]) if parts[1] == "down_blocks" else 4 if parts[1] == "mid_block" else 5
        own = content["state_embeddings"][f"state_dict_{kind}_block"]["weight"][block]
        layer = content[f"state_dict_{kind}_block_mlp"]
        own = (layer["0.weight"] @ own + layer["0.bias"]).relu()
        layer = content[f"state_dict_{kind}_fuse_mlp"]
        matrix = (layer["weight"] @ torch.cat([features, own]) + layer["bias"]).reshape(rank, rank)
        up = name.replace(".lora_A.", ".lora_B.")
        tensors[up] = torch.einsum("or...,kr->ok...", tensors[up], matrix)  # B M^T
    return merged(network, tensors, 8 / rank)


@torch.no_grad()
def test_s3diff_loads_correctly(base: Base, tmp_path: Path) -> None:
    # fp64 on both sides: the rounding of the modulation alone moves fp32's x0 by 1e-4 of its range at t = 999
    exact = Base(base.path, copy.deepcopy(base.unet).double(), copy.deepcopy(base.vae).double(), base.text)
    content = to_double(s3diff_file(base, tmp_path))
    estimator = DegradationEstimator()
    estimator.load_state_dict(torch.load(tmp_path / "de_net.pth", weights_only=True))
    degrees = estimator.double()(picture().double())[0]

    def seen(model: OneStepModel) -> Observation:
        assert isinstance(model.observer, DegradationObserver)
        return model.observer.double().observe(picture().double(), picture().double())

    def found(model: OneStepModel) -> torch.Tensor:
        return model.denoise(latent(), model.prompt.embeddings(None), observation=seen(model))

    def by_hand(model: OneStepModel) -> torch.Tensor:
        unet = modulated(content, degrees, "unet", exact.unet, 3)
        unet.conv_in.weight.copy_(content["state_dict_unet"]["conv_in.weight"])
        unet.conv_in.bias.copy_(content["state_dict_unet"]["conv_in.bias"])
        wanted, unwanted = (
            unet(latent().double(), 999, encoder_hidden_states=one[None].double()).sample
            for one in model.prompt.embeddings(None)
        )
        noise = unwanted + 1.07 * (wanted - unwanted)
        return (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5

    model = assert_loads_correctly(exact, tmp_path / "s3diff.pkl", "s3diff", by_hand, found=found, tolerance=1e-5)
    vae = modulated(content, degrees, "vae", exact.vae, 2)
    expected = vae.encode(picture().double() * 2 - 1).latent_dist.mean * base.vae.config.scaling_factor
    encoded = model.codec.encode_posterior(picture().double(), seen(model).encoder)[0]
    assert (encoded - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    plain = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base)
    assert hu.restore(picture(), plain, scale=2).image.shape == (1, 3, 32, 32)


def test_guidance_and_negative_prompt_are_options(base: Base, tmp_path: Path) -> None:
    s3diff_file(base, tmp_path)
    plain = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base).one_step
    told = hu.load_model(
        adapter=tmp_path / "s3diff.pkl", base=base, guidance_scale=3.0, negative_prompt="blue"
    ).one_step
    assert [term.weight for term in told.passes] == [3.0, -2.0]
    assert torch.equal(told.prompt.embeddings(None)[1:], base.text.encode("blue"))
    assert torch.equal(told.prompt.embeddings(None)[:1], plain.prompt.embeddings(None)[:1])
    without = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base, guidance_scale=1.0).one_step
    assert len(without.passes) == 1
