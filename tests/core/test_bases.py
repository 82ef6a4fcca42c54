"""Bases: single files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from harness.systems import UNET, VAE, single_file

import headsup_core as hu
from headsup_core.models.base import V_PREDICTION_KEY, Base, BaseConfig, load_base, load_single_file


def test_single_file_gives_the_same_networks(base: Base, tmp_path: Path) -> None:
    path = single_file(base, tmp_path / "sd.ckpt")
    loaded = load_single_file(path, torch.float32, BaseConfig(UNET, VAE, {"hidden_size": 16}))
    tensors = torch.load(path, weights_only=True)["state_dict"]
    for mine, original, other in (
        (loaded.unet, base.unet, convert_ldm_unet_checkpoint(tensors, UNET)),
        (loaded.vae, base.vae, convert_ldm_vae_checkpoint(tensors, VAE)),
    ):
        for name, tensor in original.state_dict().items():
            assert torch.equal(mine.state_dict()[name], tensor)
            assert torch.equal(other[name].reshape(tensor.shape), tensor), name  # diffusers reads our names, too


def test_other_models_are_refused(base: Base, tmp_path: Path) -> None:
    wide = {V_PREDICTION_KEY: torch.tensor([-0.2, 0.2])}
    config = BaseConfig(UNET, VAE, {"hidden_size": 16})
    with pytest.raises(hu.ModelFileError, match=r"2\.1-768.*deviation 0\.200"):
        load_single_file(single_file(base, tmp_path / "v.ckpt", **wide), torch.float32, config)
    with pytest.raises(hu.ModelFileError, match="text 16 wide; needed are 4, 320 and 1024"):
        load_base(single_file(base, tmp_path / "tiny.ckpt"))
    first = "model.diffusion_model.input_blocks.0.0.weight"
    attention = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    for width, name in ((768, "Stable Diffusion 1"), (2048, "SDXL")):
        torch.save({first: torch.zeros(320, 4, 3, 3), attention: torch.zeros(320, width)}, tmp_path / "o.ckpt")
        with pytest.raises(hu.ModelFileError, match=f"is {name}"):
            load_base(tmp_path / "o.ckpt")


