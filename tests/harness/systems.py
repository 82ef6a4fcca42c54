"""Tiny bases of Stable Diffusion's structure, and adapter files in the formats that the systems were published in."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from headsup_core.models.bases.base import Base
from headsup_core.models.bases.ldm_keys import unet_key, vae_key
from headsup_core.models.bases.text_encoder import TextEncoder
from headsup_core.models.lora.branches import Adapter, LowRankBranch
from headsup_core.models.prompts import TextUse
from headsup_core.models.record import TAGS_FIRST, AdaptedLayers, ModelCard, ModelRecord
from headsup_core.models.systems import headsup
from headsup_core.models.systems.degradation_estimator import DegradationEstimator

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
        super().__init__({"hidden_size": 16}, _no_weights)

    def encode(self, text: str) -> torch.Tensor:
        seed = sum(ord(letter) * (index + 1) for index, letter in enumerate(text))
        return torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(seed))


def _no_weights() -> Any:
    raise AssertionError("no weights are read here")


def tiny_networks(seed: int = 3) -> tuple[Any, Any]:
    """UNet and VAE with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet, vae = UNet2DConditionModel.from_config(UNET), AutoencoderKL.from_config(VAE)
    return unet.eval().requires_grad_(False), vae.eval().requires_grad_(False)


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


def to_double(content: Any) -> Any:
    """The same nested dictionaries with tensors in fp64."""
    if isinstance(content, dict):
        return {name: to_double(inner) for name, inner in content.items()}
    return content.double() if isinstance(content, torch.Tensor) else content


def base_folder(base: Base, folder: Path) -> Path:
    """Write `base` as a diffusers folder, with a text encoder of its width; CLIP's vocabulary is the pack's own."""
    from transformers import CLIPTextConfig, CLIPTextModel

    base.unet.save_pretrained(folder / "unet")
    base.vae.save_pretrained(folder / "vae")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        width = base.text.width
        heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "gelu"}
        text = CLIPTextModel(CLIPTextConfig(hidden_size=width, intermediate_size=2 * width, **heads))
    text.save_pretrained(folder / "text_encoder")
    (folder / "scheduler").mkdir()
    schedule: dict[str, Any] = {"prediction_type": "epsilon", "beta_schedule": "scaled_linear"}
    schedule |= {"beta_start": 0.00085, "beta_end": 0.012}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    (folder / "model_index.json").write_text("{}")
    return folder


def hypir_file(base: Base, folder: Path) -> Path:
    tensors = low_rank(base.unet, matching(base.unet, SUFFIXES), 6, "default", 1)
    torch.save(tensors, folder / "HYPIR_sd2.pth")
    return folder / "HYPIR_sd2.pth"


def single_file(base: Base, path: Path, **extra: torch.Tensor) -> Path:
    tensors = {unet_key(name): tensor for name, tensor in base.unet.state_dict().items()}
    for name, tensor in base.vae.state_dict().items():
        as_conv = ".attentions." in name and tensor.ndim == 2
        tensors[vae_key(name, 2)] = tensor[:, :, None, None] if as_conv else tensor
    torch.save({"state_dict": tensors | extra}, path)
    return path


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


def headsup_adapters(base: Base) -> tuple[Adapter, Adapter, ModelRecord]:
    """What a trainer of HeadsUp has: adapters of UNet (conv_in of nine channels) and VAE encoder, and their record."""
    random = torch.Generator().manual_seed(21)
    found: list[Adapter] = []
    for network, paths in (
        (base.unet, matching(base.unet, SUFFIXES)),
        (base.vae, matching(base.vae, SUFFIXES + " conv_in", "encoder.")),
    ):
        tensors = low_rank(network, paths, 4, "x", len(paths))
        branches = {
            path: LowRankBranch(tensors[f"{path}.lora_A.x.weight"], tensors[f"{path}.lora_B.x.weight"], 2.0)
            for path in paths
        }
        trained = {}
        if network is base.unet:
            out, _, *kernel = base.unet.conv_in.weight.shape
            trained["conv_in.weight"] = torch.randn(out, 9, *kernel, generator=random) * 0.1
            trained["conv_in.bias"] = torch.randn(out, generator=random) * 0.1
        found.append(Adapter(branches, trained))
    record = replace(
        headsup.RECORD,
        card=ModelCard("HeadsUp test", "MIT", "nothing"),
        layers=AdaptedLayers(found[0].paths, found[1].paths, rank=4, alpha=8.0),
        prompt=TextUse("a face", TAGS_FIRST),
    )
    return found[0], found[1], record


def skip_convolutions(base: Base) -> dict[str, torch.Tensor]:
    """1x1 convolutions from the encoder's activations to the decoder's up blocks, as S3Diff names them."""
    random = torch.Generator().manual_seed(13)
    inner = [block.resnets[0].in_channels for block in base.vae.encoder.down_blocks]
    outer = [block.resnets[0].in_channels for block in base.vae.decoder.up_blocks]
    return {
        f"decoder.skip_conv_{index + 1}.weight": torch.randn(out, into, 1, 1, generator=random) * 0.3
        for index, (into, out) in enumerate(zip(inner[::-1], outer, strict=True))
    }


@torch.no_grad()
def s3diff_file(base: Base, folder: Path, *, skips: bool = False) -> dict[str, Any]:
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
    if skips:
        content["state_dict_vae"] |= skip_convolutions(base)
    for kind, own in base.unet.conv_in.state_dict().items():
        content["state_dict_unet"][f"conv_in.{kind}"] = tensor(*own.shape)
    content["state_embeddings"]["state_dict_unet_block"] = {"weight": tensor(10, 64)}
    for network, rank in (("vae", 2), ("unet", 3)):
        content[f"state_dict_{network}_de_mlp"] = linear(256, 256)
        content[f"state_dict_{network}_block_mlp"] = linear(64, 64)
        content[f"state_dict_{network}_fuse_mlp"] = linear(320, rank**2, "")
    torch.save(content, folder / "s3diff.pkl")
    with torch.random.fork_rng():
        torch.manual_seed(12)
        torch.save(DegradationEstimator().state_dict(), folder / "de_net.pth")
    return content
