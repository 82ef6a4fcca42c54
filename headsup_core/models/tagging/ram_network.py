"""RAM's network (Zhang et al., arXiv 2306.03514): a Swin Transformer looks, and each tag asks what was seen.

The Swin Transformer is transformers' with the weights under its names; the head is two layers of cross-attention, whose
queries are the tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .ram_file import ENCODER, HEAD, RamSizes

HEADS = 4
"""What the cross-attention has, whatever BERT's configuration says."""
HEAD_EPS = 1e-12
_SWIN_NAMES = {
    "attn.proj": ("attention.o_proj", "attention.output.dense"),
    "attn.relative_position_bias_table": (
        "attention.relative_position_bias.relative_position_bias_table",
        "attention.self.relative_position_bias_table",
    ),
    "mlp.fc1": ("mlp.fc1", "intermediate.dense"),
    "mlp.fc2": ("mlp.fc2", "output.dense"),
    "norm1": ("layernorm_before",),
    "norm2": ("layernorm_after",),
}
"""Part of a block -> what transformers calls it, from version 5 on and before."""
_QKV = (("q_proj", "self.query"), ("k_proj", "self.key"), ("v_proj", "self.value"))


class RamNetwork(nn.Module):
    """Pictures `[B,3,side,side]`, normalised as ImageNet's -> logits `[B,tags]`.

    Args:
        sizes: of the file.
        tensors: all that `RamSizes.shapes` names, fp32.
    """

    def __init__(self, sizes: RamSizes, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        from transformers import SwinConfig, SwinModel

        config = SwinConfig(
            image_size=sizes.side,
            patch_size=sizes.patch,
            embed_dim=sizes.width,
            depths=list(sizes.depths),
            num_heads=list(sizes.heads),
            window_size=sizes.window,
            layer_norm_eps=1e-5,
            drop_path_rate=0.0,
        )
        swin: Any = SwinModel(config, add_pooling_layer=False)
        parameters = dict(swin.named_parameters())
        renamed = _swin_tensors(tensors, sizes, set(parameters))
        if set(renamed) != set(parameters):  # a transformers of other names
            odd = sorted(set(renamed) ^ set(parameters))[0]
            raise RuntimeError(f"transformers' SwinModel has other tensors than expected: {odd}")
        swin.load_state_dict(renamed, strict=False, assign=True)
        self.encoder = swin
        self.head = nn.ModuleList([_HeadLayer(sizes) for _ in range(sizes.layers)])
        for index, layer in enumerate(self.head):
            prefix = f"{HEAD}encoder.layer.{index}."
            own = {name: tensors[prefix + _HEAD_NAMES[name.rpartition(".")[0]] + "." + name.rpartition(".")[2]]
                   for name in layer.state_dict()}  # fmt: skip
            layer.load_state_dict(own, assign=True)
        self.image_proj = _linear_of(tensors, "image_proj")
        self.wordvec_proj = _linear_of(tensors, "wordvec_proj")
        self.fc = _linear_of(tensors, "fc")
        self.label_embed = nn.Parameter(tensors["label_embed"])
        self.eval().requires_grad_(False)

    def seen(self, pictures: torch.Tensor) -> torch.Tensor:
        """The image embedding `[B,1 + tokens,512]`: the mean of the tokens, then the tokens (SeeSR's condition)."""
        tokens = self.encoder(pixel_values=pictures).last_hidden_state
        return self.image_proj(torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        seen = self.seen(pictures)
        words = F.relu(self.wordvec_proj(self.label_embed)).expand(len(pictures), -1, -1)
        for layer in self.head:
            words = layer(words, seen)
        return self.fc(words).squeeze(-1)


_HEAD_NAMES = {
    "query": "crossattention.self.query",
    "key": "crossattention.self.key",
    "value": "crossattention.self.value",
    "join": "crossattention.output.dense",
    "norm1": "crossattention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm2": "output.LayerNorm",
}


class _HeadLayer(nn.Module):
    """Words `[B,T,hidden]` that look at a picture's tokens `[B,N,embedding]`; normalised after each sum."""

    def __init__(self, sizes: RamSizes) -> None:
        super().__init__()
        hidden = sizes.hidden
        with torch.device("meta"):
            self.query, self.join = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
            self.key, self.value = nn.Linear(sizes.embedding, hidden), nn.Linear(sizes.embedding, hidden)
            self.widen, self.narrow = nn.Linear(hidden, sizes.inner), nn.Linear(sizes.inner, hidden)
            self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=HEAD_EPS), nn.LayerNorm(hidden, eps=HEAD_EPS)

    def forward(self, words: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        parts = (self.query(words), self.key(seen), self.value(seen))
        query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        told = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        words = self.norm1(self.join(told) + words)
        return self.norm2(self.narrow(F.gelu(self.widen(words))) + words)


def _linear_of(tensors: Mapping[str, torch.Tensor], name: str) -> nn.Linear:
    weight = tensors[f"{name}.weight"]
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]}, assign=True)
    return layer


def _swin_tensors(
    tensors: Mapping[str, torch.Tensor], sizes: RamSizes, there: set[str]
) -> dict[str, torch.Tensor]:
    """RAM's encoder under transformers' names, of which `there` are those of the installed version."""
    found: dict[str, torch.Tensor] = {}
    for kind in ("weight", "bias"):
        for name, theirs in (
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("patch_embed.norm", "embeddings.norm"),
            ("norm", "layernorm"),
        ):
            found[f"{theirs}.{kind}"] = tensors[f"{ENCODER}{name}.{kind}"]
    for stage, depth in enumerate(sizes.depths):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}."
            found |= _block_tensors({
                key.removeprefix(ENCODER + name): tensor
                for key, tensor in tensors.items()
                if key.startswith(ENCODER + name)
            }, f"encoder.{name}", there)  # fmt: skip
        for part in ("norm.weight", "norm.bias", "reduction.weight"):
            name = f"layers.{stage}.downsample.{part}"
            if ENCODER + name in tensors:
                found[f"encoder.{name}"] = tensors[ENCODER + name]
    return found


def _block_tensors(block: Mapping[str, torch.Tensor], prefix: str, there: set[str]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, tensor in block.items():
        if name.startswith("attn.qkv."):
            kind = name.rpartition(".")[2]
            for names, part in zip(_QKV, tensor.chunk(3), strict=True):
                candidates = [f"{prefix}attention.{each}.{kind}" for each in names]
                found[next((each for each in candidates if each in there), candidates[0])] = part
            continue
        part, _, kind = name.rpartition(".")
        whole, ending = (name, "") if name in _SWIN_NAMES else (part, f".{kind}")
        if whole not in _SWIN_NAMES:
            continue  # a computed buffer
        candidates = [f"{prefix}{each}{ending}" for each in _SWIN_NAMES[whole]]
        found[next((each for each in candidates if each in there), candidates[0])] = tensor
    return found
