"""Published systems over tiny bases that are built here, against weights that are merged by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.systems import (
    SUFFIXES,
    alpha_bar,
    latent,
    low_rank,
    matching,
    merged,
    osediff_file,
    picture,
    pisasr_file,
    s3diff_file,
    to_double,
)
from torch import nn

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.bases.text_encoder import write_vocabulary
from headsup_core.models.lora.branches import Adapter, LowRankBranch, attached, merge_into
from headsup_core.models.systems.degradation_estimator import DegradationEstimator
from headsup_core.models.systems.s3diff import DegradationObserver


@torch.no_grad()
def test_osediff_equals_hand_merged_weights(base: Base, tmp_path: Path) -> None:
    path = osediff_file(base, tmp_path)
    content = torch.load(path, weights_only=True)
    before = {name: tensor.clone() for name, tensor in base.unet.state_dict().items()}
    model = hu.load_model(adapter=path, base=base).one_step

    unet = copy.deepcopy(base.unet)
    unet.conv_in.weight.copy_(content["state_dict_unet"]["conv_in.base_layer.weight"])
    unet.conv_in.bias.copy_(content["state_dict_unet"]["conv_in.base_layer.bias"])
    unet = merged(unet, content["state_dict_unet"], 8 / 4)
    vae = merged(base.vae, content["state_dict_vae"], 8 / 2)
    states = base.text.encode("cat, dog, sharp,")
    noise = unet(latent(), 999, encoder_hidden_states=states).sample
    clean = (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5
    assert torch.equal(model.prompt.embeddings("sharp", "cat, dog"), states)
    assert (model.denoise(latent(), states) - clean).abs().max() < 1e-3
    expected = vae.encode(picture() * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    assert (model.codec.encode(picture()) - expected).abs().max() < 1e-4
    assert model.default_color_fix == "adain"
    # the shared base is as it was, and nothing stays attached
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.unet.state_dict().items())
    assert not any(module._forward_hooks for module in base.unet.modules())


def test_osediff_face_is_told_by_its_name(base: Base, tmp_path: Path) -> None:
    plain = osediff_file(base, tmp_path)
    face = plain.rename(tmp_path / "OSEDiff_Face.pkl")
    found = hu.load_model(adapter=face, base=base)
    assert (found.one_step.system, found.one_step.scale) == ("osediff-face", 1)
    assert found.one_step.default_color_fix == "none"
    assert hu.restore(picture(), found).image.shape == (1, 3, 16, 16)
    assert hu.load_model(adapter=face, base=base, system="osediff").one_step.scale == 4
    plain = osediff_file(base, tmp_path)
    assert hu.load_model(adapter=plain, base=base).one_step.system == "osediff"
    named = hu.load_model(adapter=plain, base=base, system="osediff-face")
    # published: a small face is enlarged to process_size, here 24, and stays so
    sized = hu.load_model(adapter=plain, base=base, system="osediff-face", process_size=24)
    assert hu.restore(picture(), sized, sizing="published").image.shape == (1, 3, 24, 24)
    assert named.card.name == "OSEDiff-Face"


@pytest.mark.parametrize(("pix", "sem"), [(1.0, 1.0), (1.0, 0.6), (0.5, 1.5), (1.0, 0.0)])
@torch.no_grad()
def test_pisasr_mixes_both_adapters(base: Base, tmp_path: Path, pix: float, sem: float) -> None:
    path, pixel, semantic = pisasr_file(base, tmp_path)
    model = hu.load_model(adapter=path, base=base, lambda_pix=pix, lambda_sem=sem).one_step
    states = base.text.encode("")
    only = merged(base.unet, pixel, 2.0)
    both = merged(only, semantic, 1.0)
    e_pix = only(latent(), 1, encoder_hidden_states=states).sample
    e_both = both(latent(), 1, encoder_hidden_states=states).sample
    expected = latent() - (pix * e_pix + sem * (e_both - e_pix))
    assert torch.equal(model.prompt.embeddings(None), states)
    assert (model.denoise(latent(), states) - expected).abs().max() < 1e-4


@torch.no_grad()
def test_hypir_rank_is_the_tensors(base: Base, tmp_path: Path) -> None:
    tensors = low_rank(base.unet, matching(base.unet, SUFFIXES), 6, "default", 1)
    torch.save(tensors, tmp_path / "HYPIR_sd2.pth")
    model = hu.load_model(adapter=tmp_path / "HYPIR_sd2.pth", base=base).one_step
    states = base.text.encode("a face")
    noise = merged(base.unet, tensors, 1.0)(latent(), 200, encoder_hidden_states=states).sample
    clean = (latent() - (1 - alpha_bar(200)) ** 0.5 * noise) / alpha_bar(200) ** 0.5
    assert (model.denoise(latent(), states) - clean).abs().max() < 1e-4
    assert model.system == "hypir"
    assert model.default_color_fix == "wavelet"
    assert "NON-COMMERCIAL" in model.card.licence


@torch.no_grad()
def test_s3diff_equals_layers_that_are_modulated_by_hand(base: Base, tmp_path: Path) -> None:
    # fp64 on both sides: the rounding of the modulation alone moves fp32's x0 by 1e-4 of its range at t = 999
    exact = Base(base.path, copy.deepcopy(base.unet).double(), copy.deepcopy(base.vae).double(), base.text)
    content = s3diff_file(base, tmp_path)
    model = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=exact).one_step
    assert isinstance(model.observer, DegradationObserver)
    model.observer.double()
    estimator = DegradationEstimator()
    estimator.load_state_dict(torch.load(tmp_path / "de_net.pth", weights_only=True))
    degrees = estimator.double()(picture().double())[0]
    content = to_double(content)
    waves = [f(degree * content["w"] * 2 * torch.pi) for degree in degrees for f in (torch.sin, torch.cos)]
    changed = {}
    for network, rank, kind in ((exact.unet, 3, "unet"), (exact.vae, 2, "vae")):
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
        changed[kind] = merged(network, tensors, 8 / rank)
    changed["unet"].conv_in.weight.copy_(content["state_dict_unet"]["conv_in.weight"])
    changed["unet"].conv_in.bias.copy_(content["state_dict_unet"]["conv_in.bias"])
    seen = model.observer.observe(picture().double(), picture().double())
    prompt = model.prompt.embeddings(None)
    noises = [
        changed["unet"](latent().double(), 999, encoder_hidden_states=one[None].double()).sample for one in prompt
    ]
    noise = noises[1] + 1.07 * (noises[0] - noises[1])
    clean = (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5
    given = model.denoise(latent(), prompt, observation=seen)
    assert (given - clean).abs().max() < 1e-5 * clean.abs().max()
    expected = changed["vae"].encode(picture().double() * 2 - 1).latent_dist.mean * base.vae.config.scaling_factor
    found = model.codec.encode_posterior(picture().double(), seen.encoder)[0]
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    plain = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base)
    assert hu.restore(picture(), plain, scale=2).image.shape == (1, 3, 32, 32)
    (tmp_path / "de_net.pth").unlink()
    with pytest.raises(hu.ModelFileError, match=r"companion de_net\.pth"):
        hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base)


def test_systems_over_one_base_do_not_disturb_each_other(base: Base, tmp_path: Path) -> None:
    first = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    alone = hu.restore(picture(), first, scale=2, prompt="x").image
    second = hu.load_model(adapter=pisasr_file(base, tmp_path)[0], base=base)
    assert first.one_step.unet is second.one_step.unet
    other = hu.restore(picture(), second, scale=2).image
    assert torch.equal(hu.restore(picture(), first, scale=2, prompt="x").image, alone)
    assert (other - alone).abs().max() > 0.01
    assert alone.shape == (1, 3, 32, 32)


ONE_STEP = [(torch.float32, 2.0**-20), (torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)]


@pytest.mark.parametrize(("dtype", "steps"), ONE_STEP)
@torch.no_grad()
def test_merge_equals_branch(dtype: torch.dtype, steps: float) -> None:
    random = torch.Generator().manual_seed(0)
    layers = nn.ModuleDict({"a": nn.Linear(6, 5), "b": nn.Conv2d(3, 4, 3, stride=2, padding=1)}).to(dtype)
    branches = {
        "a": LowRankBranch(torch.randn(2, 6, generator=random), torch.randn(5, 2, generator=random), 0.5),
        "b": LowRankBranch(torch.randn(2, 3, 3, 3, generator=random), torch.randn(4, 2, 1, 1, generator=random), 2.0),
    }
    wanted = {path: layers[path].weight.double() + branches[path].delta().double() for path in branches}
    inputs = {"a": torch.randn(2, 6, generator=random), "b": torch.randn(2, 3, 7, 7, generator=random)}
    adapter = Adapter(branches)
    if dtype == torch.float32:
        with attached(layers, (adapter,)):
            branched = {path: layers[path](x) for path, x in inputs.items()}
    merge_into(layers, (adapter,))
    for path, weight in wanted.items():
        assert ((layers[path].weight.double() - weight).abs() <= steps * weight.abs() + 1e-7).all()
        if dtype == torch.float32:
            assert torch.allclose(layers[path](inputs[path]), branched[path], atol=1e-5)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda c: c["state_dict_unet"].pop("conv_out.lora_B.default_decoder.weight"), "conv_out has no LoRA B"),
    "rank": (lambda c: c.update(rank_unet=5), r"expected \(5, 4, 3, 3\) \(rank 5\)"),
    "nan": (lambda c: c["state_dict_vae"]["quant_conv.lora_A.default_encoder.weight"].fill_(float("nan")), "NaN"),
    "gone": (lambda c: c["vae_lora_encoder_modules"].append("encoder.more"), "encoder.more"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_name_the_key(base: Base, tmp_path: Path, kind: str) -> None:
    change, message = BROKEN[kind]
    with pytest.raises(hu.ModelFileError, match=message):
        hu.load_model(adapter=osediff_file(base, tmp_path, change), base=base)


def test_wrong_use_is_refused(base: Base, tmp_path: Path) -> None:
    path = osediff_file(base, tmp_path)
    with pytest.raises(hu.InputError, match="no option 'lambda_sem'"):
        hu.load_model(adapter=path, base=base, lambda_sem=1.0)
    with pytest.raises(hu.InputError, match="needs its base"):
        hu.load_model(adapter=path)
    with pytest.raises(hu.InputError, match="others share"):
        hu.load_model(adapter=path, base=base, merge=True)
    with pytest.raises(hu.ModelFileError, match="not a PiSA-SR file: it holds OSEDiff"):
        hu.load_model(adapter=path, base=base, system="pisasr")
    (tmp_path / "cut.pkl").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(hu.ModelFileError, match="cut short"):
        hu.load_model(adapter=tmp_path / "cut.pkl", base=base)


def test_vocabulary_is_clips(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    write_vocabulary(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(str(tmp_path))
    ids = tokenizer(["woman, astronaut, portrait, flag, ,"], padding="max_length", max_length=77).input_ids[0]
    assert ids[:13] == [49406, 2308, 267, 18376, 267, 5352, 267, 4859, 267, 267, 49407, 0, 0]
