"""The names of a single-file Stable Diffusion checkpoint (CompVis "LDM" and OpenCLIP) for diffusers' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.model."

Rules = tuple[tuple[str, str], ...]

_RESNET: Rules = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)
_UNET_ENDS: Rules = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
)
_VAE: Rules = (
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.downsamplers\.0\.", ".downsample."),
    (r"\.upsamplers\.0\.", ".upsample."),
)
_TEXT: Rules = (
    (r"^embeddings\.token_embedding\.", "token_embedding."),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def unet_key(name: str, layers: int = 2) -> str:
    """LDM name of the UNet parameter `name`; `layers` residual blocks a level."""
    name = _apply(_UNET_ENDS, name)
    block = re.match(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)$", name)
    if block is not None:
        way, level, kind, index, rest = block[1], int(block[2]), block[3], int(block[4]), block[5]
        start = 1 + level * (layers + 1) if way == "down" else level * (layers + 1)
        if kind == "downsamplers":
            return f"{UNET_PREFIX}input_blocks.{start + layers}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":  # the first up block has no attention, so its upsampler comes second there
            return f"{UNET_PREFIX}output_blocks.{start + layers}.{1 if level == 0 else 2}.{rest}"
        place = f"{'input' if way == 'down' else 'output'}_blocks.{start + index}"
        name = f"{place}.0.{rest}" if kind == "resnets" else f"{place}.1.{rest}"
        return UNET_PREFIX + (_apply(_RESNET, name) if kind == "resnets" else name)
    middle = re.match(r"^mid_block\.(resnets|attentions)\.(\d+)\.(.*)$", name)
    if middle is not None:
        if middle[1] == "attentions":
            return f"{UNET_PREFIX}middle_block.1.{middle[3]}"
        return UNET_PREFIX + _apply(_RESNET, f"middle_block.{2 * int(middle[2])}.{middle[3]}")
    return UNET_PREFIX + name


def vae_key(name: str, levels: int = 4) -> str:
    """LDM name of the VAE parameter `name`; the decoder's levels are counted the other way round there."""
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.", r"encoder.down.\1.", name)
    up = re.match(r"^decoder\.up_blocks\.(\d+)\.(.*)$", name)
    if up is not None:
        name = f"decoder.up.{levels - 1 - int(up[1])}.{up[2].replace('resnets.', 'block.', 1)}"
    return VAE_PREFIX + _apply(_VAE, name)


def text_tensor(name: str, tensors: Mapping[str, torch.Tensor]) -> tuple[str, torch.Tensor | None]:
    """(OpenCLIP name, tensor or None when missing) of transformers' text parameter `name`.

    OpenCLIP keeps the three attention projections in one tensor, `in_proj`, of 3D rows.
    """
    projection = re.match(r"^encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)$", name)
    if projection is None:
        key = TEXT_PREFIX + _apply(_TEXT, name)
        return key, tensors.get(key)
    key = f"{TEXT_PREFIX}transformer.resblocks.{projection[1]}.attn.in_proj_{projection[3]}"
    whole = tensors.get(key)
    return key, None if whole is None else whole.chunk(3)["qkv".index(projection[2])]


def rename(
    expected: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], keys: Iterable[tuple[str, str]]
) -> dict[str, torch.Tensor]:
    """The tensors under diffusers' names; 1x1 convolutions become linear layers where `expected` has those."""
    renamed: dict[str, torch.Tensor] = {}
    for name, key in keys:
        tensor = tensors.get(key)
        if tensor is not None:
            flat = tensor.ndim == 4 and expected[name].ndim == 2 and tensor.shape[2:] == (1, 1)
            renamed[name] = tensor[:, :, 0, 0] if flat else tensor
    return renamed


def _apply(rules: Rules, name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
