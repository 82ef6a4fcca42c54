"""Bases: folders, single files, and what is refused."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from harness.refusals import raises_naming
from harness.systems import UNET, VAE, base_folder, single_file
from safetensors.torch import load as safetensors_load
from safetensors.torch import save_file

import headsup_core as hu
from headsup_core.models.bases.base import V_PREDICTION_KEY, Base, BaseConfig, load_base, load_single_file


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
    with raises_naming(hu.ModelFileError, "2.1-768", 0.2):
        load_single_file(single_file(base, tmp_path / "v.ckpt", **wide), torch.float32, config)
    with raises_naming(hu.ModelFileError, 16, 4, 320, 1024):
        load_base(single_file(base, tmp_path / "tiny.ckpt"))
    first = "model.diffusion_model.input_blocks.0.0.weight"
    attention = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    for width, name in ((768, "Stable Diffusion 1"), (2048, "SDXL")):
        torch.save({first: torch.zeros(320, 4, 3, 3), attention: torch.zeros(320, width)}, tmp_path / "o.ckpt")
        with raises_naming(hu.ModelFileError, name):
            load_base(tmp_path / "o.ckpt")




@pytest.fixture
def folder(base: Base, tmp_path: Path) -> Path:
    """The tiny base as a diffusers folder."""
    return base_folder(base, tmp_path / "base")


def change_json(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | values))


def test_folder_gives_the_same_networks(base: Base, folder: Path) -> None:
    loaded = load_base(folder)
    for mine, original in ((loaded.unet, base.unet), (loaded.vae, base.vae)):
        assert all(torch.equal(mine.state_dict()[name], tensor) for name, tensor in original.state_dict().items())
    half = load_base(folder, torch.float16)
    assert half.dtype == torch.float16


def test_half_precision_safetensors_give_the_same_networks(base: Base, tmp_path: Path) -> None:
    whole = torch.load(single_file(base, tmp_path / "sd.ckpt"), weights_only=True)["state_dict"]
    save_file({name: tensor.half().contiguous() for name, tensor in whole.items()}, tmp_path / "sd.safetensors")
    config = BaseConfig(UNET, VAE, {"hidden_size": 16})
    loaded = load_single_file(tmp_path / "sd.safetensors", torch.float32, config)
    for name, tensor in base.unet.state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], tensor.half().float())


@pytest.mark.parametrize(
    ("file", "values", "named"),
    [
        ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, ("v_prediction", "2.1-768")),
        ("unet/config.json", {"cross_attention_dim": 768}, ("Stable Diffusion 1", 768)),
        ("unet/config.json", {"cross_attention_dim": 2048, "addition_embed_type": "text_time"}, ("SDXL", 2048)),
        ("unet/config.json", {"in_channels": 9}, (9, 4)),
    ],
)
def test_folders_of_other_models_are_refused(
    folder: Path, file: str, values: dict[str, Any], named: tuple[object, ...]
) -> None:
    change_json(folder / file, **values)
    with raises_naming(hu.ModelFileError, *named, "Stable Diffusion 2.1-base"):
        load_base(folder)


def test_damaged_folders_name_the_file_and_the_key(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    tensors = safetensors_load(whole)  # not from the file, which would stay mapped while it is written
    weights.write_bytes(whole[: len(whole) // 2])
    with raises_naming(hu.ModelFileError, "diffusion_pytorch_model.safetensors"):
        load_base(folder)
    tensors["conv_in.bias"][3] = torch.inf
    save_file(tensors, weights)
    with raises_naming(hu.ModelFileError, 1, 32, "conv_in.bias", "NaN"):
        load_base(folder)
    del tensors["conv_in.bias"]
    save_file(tensors, weights)
    with raises_naming(hu.ModelFileError, 1, "conv_in.bias (32,)"):
        load_base(folder)
    weights.unlink()
    with raises_naming(hu.ModelFileError, "unet", "diffusion_pytorch_model.safetensors"):
        load_base(folder)


def test_text_encoder_is_read_once_a_prompt_and_freed(folder: Path) -> None:
    from transformers import CLIPTextModel

    text = load_base(folder).text
    states = text.encode("a face")
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is CLIPTextModel]
    (folder / "text_encoder" / "model.safetensors").unlink()
    assert text.encode("a face") is states
    assert states.shape == (1, 77, 16)
    with raises_naming(hu.ModelFileError, "text_encoder"):
        text.encode("another")
