"""Stable Diffusion 2.1-base and SD-Turbo as the base of adapters: a diffusers folder or a single file.

The networks' configuration comes from the folder, or from here; nothing is ever fetched. diffusers' `from_single_file`
with a local configuration reads the same files bit-equally (nine layouts were tried) but none more, lets NaN pass, does
not name a missing tensor, and reads the file once for each network: so the renaming is ours (`ldm_keys`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...errors import ModelFileError
from ..file_formats.weights_files import WeightsFile, load_network, read_weights
from ..prediction import SD_BETAS, SD_STEPS
from . import ldm_keys
from .text_encoder import SD2_TEXT, TextEncoder

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

NEEDED = "Stable Diffusion 2.1-base (512 px, epsilon prediction) or SD-Turbo"
V_PREDICTION_STD = 0.09
"""ComfyUI's test: a 2.1-768 checkpoint has a wider `V_PREDICTION_KEY` than 2.1-base."""
V_PREDICTION_KEY = ldm_keys.UNET_PREFIX + "output_blocks.11.1.transformer_blocks.0.norm1.bias"

SD2_UNET: Mapping[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],  # diffusers' old name for the number of heads
    "use_linear_projection": True,
}
SD_VAE: Mapping[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}


@dataclass(frozen=True)
class BaseConfig:
    """Arguments of `UNet2DConditionModel`, `AutoencoderKL` and `CLIPTextConfig`."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]


SD2 = BaseConfig(SD2_UNET, SD_VAE, SD2_TEXT)


@dataclass(frozen=True, eq=False)
class Base:
    """The frozen networks that adapters go beside; may be shared by any number of systems.

    Attributes:
        betas, steps: ends and length of the `scaled_linear` noise schedule.
    """

    path: Path
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text: TextEncoder
    betas: tuple[float, float] = SD_BETAS
    steps: int = SD_STEPS

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype


def load_base(path: Path, dtype: torch.dtype = torch.float32) -> Base:
    """Read a base on the CPU in `dtype`.

    Raises:
        ModelFileError: nothing there, unreadable, incomplete, or another model (SD 1.5, SDXL, 2.1-768 ...): what was
            found, and what is needed.
    """
    return _load_folder(path, dtype) if os.path.isdir(path) else load_single_file(path, dtype)


def load_single_file(path: Path, dtype: torch.dtype, config: BaseConfig = SD2) -> Base:
    """Read a checkpoint with LDM keys, fp16 or fp32, `.safetensors` or `.ckpt`; raises as `load_base`."""
    tensors = _read_single_file(path)
    _refuse_other_models(path, tensors, config)
    unet, vae = _build(config.unet, config.vae, path)
    layers, levels = config.unet["layers_per_block"], len(config.vae["block_out_channels"])
    for network, keys in (
        (unet, [(name, ldm_keys.unet_key(name, layers)) for name in unet.state_dict()]),
        (vae, [(name, ldm_keys.vae_key(name, levels)) for name in vae.state_dict()]),
    ):
        if missing := [key for _name, key in keys if key not in tensors]:
            raise ModelFileError(
                f"{path}: {len(missing)} of {len(keys)} tensors of the {type(network).__name__} are missing, the "
                f"first is {missing[0]}: the checkpoint is incomplete"
            )
        load_network(network, ldm_keys.rename(network.state_dict(), tensors, keys), dtype, path)

    def read_text() -> WeightsFile:
        return _text_of_single_file(path, config.text)

    return Base(path, unet, vae, TextEncoder(config.text, read_text))


def _load_folder(path: Path, dtype: torch.dtype) -> Base:
    schedule = _json(path / "scheduler" / "scheduler_config.json", {})
    unet_config = _json(path / "unet" / "config.json", dict(SD2_UNET))
    vae_config = _json(path / "vae" / "config.json", dict(SD_VAE))
    text_config = _json(path / "text_encoder" / "config.json", dict(SD2_TEXT))
    if schedule.get("prediction_type", "epsilon") != "epsilon":
        raise ModelFileError(
            f"{path} predicts {schedule['prediction_type']} (its scheduler says so), as Stable Diffusion 2.1-768 "
            f"does; needed is {NEEDED}"
        )
    if schedule.get("beta_schedule", "scaled_linear") != "scaled_linear":
        raise ModelFileError(f"{path} has the noise schedule {schedule['beta_schedule']}; needed is {NEEDED}")
    width = unet_config.get("cross_attention_dim")
    if unet_config.get("addition_embed_type") is not None:
        raise ModelFileError(f"{path} is SDXL (text {width} wide, with added conditions); needed is {NEEDED}")
    if width == 768:
        raise ModelFileError(f"{path} is Stable Diffusion 1 (text 768 wide); needed is {NEEDED}")
    if unet_config.get("in_channels", 4) != 4:
        raise ModelFileError(f"{path} has {unet_config['in_channels']} input channels, not 4; needed is {NEEDED}")
    unet, vae = _build(unet_config, vae_config, path)
    for network, folder in ((unet, "unet"), (vae, "vae")):
        file = read_weights(_weights_in(path / folder, "diffusion_pytorch_model"))
        load_network(network, _old_vae_names(file.content), dtype, file.path)

    def read_text() -> WeightsFile:
        return read_weights(_weights_in(path / "text_encoder", "model", "pytorch_model"))

    tokenizer = path / "tokenizer"
    text = TextEncoder(text_config, read_text, tokenizer if (tokenizer / "merges.txt").is_file() else None)
    betas = schedule.get("beta_start", SD_BETAS[0]), schedule.get("beta_end", SD_BETAS[1])
    return Base(path, unet, vae, text, betas, schedule.get("num_train_timesteps", SD_STEPS))


def _build(unet: Mapping[str, Any], vae: Mapping[str, Any], path: Path) -> tuple[Any, Any]:
    """Both networks on "meta", without weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    try:
        with torch.device("meta"):
            return UNet2DConditionModel.from_config(dict(unet)), AutoencoderKL.from_config(dict(vae))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path}: its config.json does not describe a network: {error}") from error


def _refuse_other_models(path: Path, tensors: Mapping[str, torch.Tensor], config: BaseConfig) -> None:
    """Recognise what is not SD 2.1-base or SD-Turbo by its shapes, and 2.1-768 by ComfyUI's test."""
    first = tensors.get(ldm_keys.UNET_PREFIX + "input_blocks.0.0.weight")
    if first is None:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise ModelFileError(f"{path} is no Stable Diffusion checkpoint (it holds {some} ...); needed is {NEEDED}")
    texts = [tensor for name, tensor in tensors.items() if name.endswith("attn2.to_k.weight")]
    found, wanted = (texts[0].shape[1] if texts else 0), config.unet["cross_attention_dim"]
    if ldm_keys.UNET_PREFIX + "label_emb.0.0.weight" in tensors or found == 2048:
        raise ModelFileError(f"{path} is SDXL (text {found} wide); needed is {NEEDED}")
    if found == 768 != wanted:
        raise ModelFileError(f"{path} is Stable Diffusion 1 (text 768 wide); needed is {NEEDED}")
    shape = (config.unet["block_out_channels"][0], config.unet["in_channels"])
    if found != wanted or tuple(first.shape[:2]) != shape:
        raise ModelFileError(
            f"{path} has a UNet of {first.shape[1]} input channels, {first.shape[0]} wide, for text {found} wide; "
            f"needed are {shape[1]}, {shape[0]} and {wanted}: {NEEDED}"
        )
    bias = tensors.get(V_PREDICTION_KEY)
    if bias is not None and (std := float(bias.float().std(correction=0))) > V_PREDICTION_STD:
        raise ModelFileError(
            f"{path} is Stable Diffusion 2.1-768, which predicts v (norm1.bias has deviation {std:.3f}, 2.1-base "
            f"less than {V_PREDICTION_STD}); needed is {NEEDED}"
        )


def _read_single_file(path: Path, *, text: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of the checkpoint: its text encoder's, or all others."""
    content = read_weights(path, lambda name: name.startswith("cond_stage_model.") == text).content
    nested = content.get("state_dict", content)
    return {
        name: tensor
        for name, tensor in nested.items()
        if isinstance(tensor, torch.Tensor) and name.startswith("cond_stage_model.") == text
    }


def _text_of_single_file(path: Path, config: Mapping[str, Any]) -> WeightsFile:
    from transformers import CLIPTextConfig, CLIPTextModel

    tensors = _read_single_file(path, text=True)
    with torch.device("meta"):
        model: nn.Module = CLIPTextModel(CLIPTextConfig(**config))
    renamed: dict[str, torch.Tensor] = {}
    for name in model.state_dict():
        bare = name.removeprefix("text_model.")
        key, tensor = ldm_keys.text_tensor(bare, tensors)
        if tensor is None:
            raise ModelFileError(
                f"{path}: the text encoder's {key} is missing; connect a conditioning, or use a complete checkpoint"
            )
        renamed[bare] = tensor
    return WeightsFile(path, renamed)


def _weights_in(folder: Path, *stems: str) -> Path:
    """The weights in a folder of a diffusers model, plain before half precision, safetensors before pickles."""
    for suffix in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin"):
        for stem in stems:
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix)
    raise ModelFileError(f"{folder} holds no {stems[0]}.safetensors: the base is incomplete; needed is {NEEDED}")


def _old_vae_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The VAE attention of older diffusers (query, key, value, proj_attn) under today's names."""
    old = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        for before, after in old.items():
            name = name.replace(before, after) if ".attentions.0" in name else name
        renamed[name] = tensor
    return renamed


def _json(path: Path, default: dict[str, Any]) -> dict[str, Any]:
    """A configuration of the folder; ours when it has none."""
    if not os.path.isfile(path):
        return default
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{path} is not JSON ({error}): download it again") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} holds a {type(content).__name__}, expected an object")
    return content  # pyright: ignore[reportUnknownVariableType]
