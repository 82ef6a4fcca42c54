"""Published systems over tiny bases that are built here, against weights that are merged by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from torch import nn

import headsup_core as hu
from headsup_core.models.base import V_PREDICTION_KEY, Base, BaseConfig, load_base, load_single_file
from headsup_core.models.ldm_keys import unet_key, vae_key
from headsup_core.models.lora import Adapter, LowRankBranch, attached, merge_into
from headsup_core.models.systems.degradation_estimator import DegradationEstimator
from headsup_core.models.text import TextEncoder, write_vocabulary

UNET = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [32, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 2,
    "cross_attention_dim": 16,
    "attention_head_dim": [2, 2],
    "use_linear_projection": True,
}
VAE = {
    "block_out_channels": [32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 2,
    "latent_channels": 4,
}
SUFFIXES = "to_k to_q to_v to_out.0 conv conv1 conv2 conv_shortcut conv_out proj_in proj_out ff.net.2 ff.net.0.proj"


class WordStates(TextEncoder):
    """Stands for a text encoder: states that depend on nothing but the text."""

    def __init__(self) -> None:
        super().__init__({"hidden_size": 16}, lambda: pytest.fail("no weights are read here"))

    def encode(self, text: str) -> torch.Tensor:
        seed = sum(ord(letter) * (index + 1) for index, letter in enumerate(text))
        return torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def networks() -> tuple[UNet2DConditionModel, AutoencoderKL]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        unet, vae = UNet2DConditionModel.from_config(UNET), AutoencoderKL.from_config(VAE)
    return unet.eval().requires_grad_(False), vae.eval().requires_grad_(False)


@pytest.fixture
def base(networks: tuple[Any, Any]) -> Base:
    return Base(Path("tiny"), *networks, WordStates())


def matching(network: nn.Module, suffixes: str, start: str = "") -> list[str]:
    ends = suffixes.split()
    return [
        path
        for path, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and path.startswith(start)
        and any(("." + path).endswith("." + end) for end in ends)
    ]


def low_rank(network: nn.Module, paths: list[str], rank: int, name: str, seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        out, into, *kernel = network.get_submodule(path).weight.shape
        tensors[f"{path}.lora_A.{name}.weight"] = torch.randn(rank, into, *kernel, generator=random) * 0.1
        ones = [1] * len(kernel)
        tensors[f"{path}.lora_B.{name}.weight"] = torch.randn(out, rank, *ones, generator=random) * 0.1
    return tensors


def merged(network: Any, tensors: dict[str, torch.Tensor], scale: float) -> Any:
    """A copy of the network with W + scale B A, one tensor product at a time."""
    changed = copy.deepcopy(network)
    for name, down in tensors.items():
        if ".lora_A." in name:
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            weight = changed.get_submodule(name.split(".lora_A.")[0]).weight
            weight += scale * torch.tensordot(up.reshape(up.shape[0], up.shape[1]), down, dims=1)
    return changed


def alpha_bar(timestep: int) -> float:
    betas = [(0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * i / 999) ** 2 for i in range(1000)]
    product = 1.0
    for beta in betas[: timestep + 1]:
        product *= 1 - beta
    return product


def latent() -> torch.Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(9))


def picture() -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def osediff_file(base: Base, folder: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
    unet_paths = matching(base.unet, SUFFIXES + " conv_in")
    vae_paths = [*matching(base.vae, SUFFIXES + " conv_in", "encoder."), "quant_conv"]
    groups = {"encoder": ("down_blocks", "conv_in"), "decoder": ("up_blocks", "conv_out"), "others": ("mid_block",)}
    content: dict[str, Any] = {"rank_unet": 4, "rank_vae": 2, "state_dict_unet": {}}
    for seed, (group, starts) in enumerate(groups.items()):
        paths = [path for path in unet_paths if path.startswith(starts)]
        content[f"unet_lora_{group}_modules"] = paths
        content["state_dict_unet"] |= low_rank(base.unet, paths, 4, f"default_{group}", seed)
    content["state_dict_unet"]["conv_in.base_layer.weight"] = base.unet.conv_in.weight + 0.1
    content["state_dict_unet"]["conv_in.base_layer.bias"] = base.unet.conv_in.bias + 0.1
    content["vae_lora_encoder_modules"] = vae_paths
    content["state_dict_vae"] = low_rank(base.vae, vae_paths, 2, "default_encoder", 7)
    change(content)
    torch.save(content, folder / "osediff.pkl")
    return folder / "osediff.pkl"


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


def pisasr_file(base: Base, folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    paths = matching(base.unet, SUFFIXES + " conv_in")
    content: dict[str, Any] = {"lora_rank_unet_pix": 4, "lora_rank_unet_sem": 8, "state_dict_unet": {}}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for kind, rank in (("pix", 4), ("sem", 8)):
        for group in ("encoder", "decoder", "others"):
            content[f"unet_lora_{group}_modules_{kind}"] = paths if group == "encoder" else []
        parts[kind] = low_rank(base.unet, paths, rank, f"default_encoder_{kind}", rank)
        content["state_dict_unet"] |= parts[kind]
    torch.save(content, folder / "pisa_sr.pkl")
    return folder / "pisa_sr.pkl", parts["pix"], parts["sem"]


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
def s3diff_file(base: Base, folder: Path) -> dict[str, Any]:
    random = torch.Generator().manual_seed(11)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random) * 0.3

    def linear(into: int, out: int, prefix: str = "0.") -> dict[str, torch.Tensor]:
        return {prefix + "weight": tensor(out, into), prefix + "bias": tensor(out)}

    vae_paths = matching(base.vae, SUFFIXES + " conv_in", "encoder.")
    content: dict[str, Any] = {
        "rank_unet": 3,
        "rank_vae": 2,
        "unet_lora_target_modules": SUFFIXES.split(),
        "vae_lora_target_modules": r"^encoder\..*(conv1)$",
        "state_dict_unet": low_rank(base.unet, matching(base.unet, SUFFIXES), 3, "default", 1),
        "state_dict_vae": low_rank(base.vae, vae_paths, 2, "vae_skip", 2),
        "w": torch.nn.Parameter(tensor(64)),
        "state_embeddings": {"state_dict_vae_block": {"weight": tensor(6, 64)}},
    }
    for kind, own in base.unet.conv_in.state_dict().items():
        content["state_dict_unet"][f"conv_in.{kind}"] = tensor(*own.shape)
    content["state_embeddings"]["state_dict_unet_block"] = {"weight": tensor(10, 64)}
    for network, rank in (("vae", 2), ("unet", 3)):
        content[f"state_dict_{network}_de_mlp"] = linear(256, 256)
        content[f"state_dict_{network}_block_mlp"] = linear(64, 64)
        content[f"state_dict_{network}_fuse_mlp"] = linear(320, rank**2, "")
    torch.save(content, folder / "s3diff.pkl")
    estimator = DegradationEstimator()
    torch.save(estimator.state_dict(), folder / "de_net.pth")
    return content


@torch.no_grad()
def test_s3diff_equals_layers_that_are_modulated_by_hand(base: Base, tmp_path: Path) -> None:
    content = s3diff_file(base, tmp_path)
    model = hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base).one_step
    assert model.observer is not None
    estimator = DegradationEstimator()
    estimator.load_state_dict(torch.load(tmp_path / "de_net.pth", weights_only=True))
    degrees = estimator(picture())[0]
    waves = [f(degree * content["w"] * 2 * torch.pi) for degree in degrees for f in (torch.sin, torch.cos)]
    changed = {}
    for network, rank, kind in ((base.unet, 3, "unet"), (base.vae, 2, "vae")):
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
    seen = model.observer.observe(picture(), picture())
    prompt = model.prompt.embeddings(None)
    noises = [changed["unet"](latent(), 999, encoder_hidden_states=one[None]).sample for one in prompt]
    noise = noises[1] + 1.07 * (noises[0] - noises[1])
    clean = (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5
    given = model.denoise(latent(), prompt, observation=seen)
    assert (given - clean).abs().max() < 1e-4 * clean.abs().max()
    expected = changed["vae"].encode(picture() * 2 - 1).latent_dist.mean * base.vae.config.scaling_factor
    found = model.codec.encode_posterior(picture(), seen.encoder)[0]
    assert (found - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))
    assert hu.restore(picture(), hu.HeadsUpModel(model), 2).image.shape == (1, 3, 32, 32)
    (tmp_path / "de_net.pth").unlink()
    with pytest.raises(hu.ModelFileError, match=r"companion de_net\.pth"):
        hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base)


def test_systems_over_one_base_do_not_disturb_each_other(base: Base, tmp_path: Path) -> None:
    first = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    alone = hu.restore(picture(), first, 2, prompt="x").image
    second = hu.load_model(adapter=pisasr_file(base, tmp_path)[0], base=base)
    assert first.one_step.unet is second.one_step.unet
    other = hu.restore(picture(), second, 2).image
    assert torch.equal(hu.restore(picture(), first, 2, prompt="x").image, alone)
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


def single_file(base: Base, path: Path, **extra: torch.Tensor) -> Path:
    tensors = {unet_key(name): tensor for name, tensor in base.unet.state_dict().items()}
    for name, tensor in base.vae.state_dict().items():
        as_conv = ".attentions." in name and tensor.ndim == 2
        tensors[vae_key(name, 2)] = tensor[:, :, None, None] if as_conv else tensor
    torch.save({"state_dict": tensors | extra}, path)
    return path


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


def test_vocabulary_is_clips(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    write_vocabulary(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(str(tmp_path))
    ids = tokenizer(["woman, astronaut, portrait, flag, ,"], padding="max_length", max_length=77).input_ids[0]
    assert ids[:13] == [49406, 2308, 267, 18376, 267, 5352, 267, 4859, 267, 267, 49407, 0, 0]
