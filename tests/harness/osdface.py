"""OSDFace's three files at tiny width, and its visual prompt written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from headsup_core.imaging.published import FaceSizing
from headsup_core.models.bases.base import Base
from headsup_core.models.systems import osdface, visual_prompt

from .systems import SUFFIXES, low_rank, matching

WIDTHS = ((32, 32), (32, 64))
"""(input, output) width of each level's first block; one block a level, attention at the last."""
ENTRIES, FEATURE = 200, 16


def shrink(monkeypatch: pytest.MonkeyPatch, side: int = 32) -> None:
    """Faces of `side` px: the tiny encoder halves once, the real one five times, and attends over all places."""
    assert osdface.RECORD.aligned_face == visual_prompt.SIDE == 512
    monkeypatch.setattr(visual_prompt, "SIDE", side)
    small = replace(osdface.RECORD, aligned_face=side, published=FaceSizing(side))
    monkeypatch.setattr(osdface, "RECORD", small)


def osdface_files(base: Base, folder: Path) -> Path:
    """Write adapter and companions; the adapter's path."""
    from safetensors.torch import save_file

    tensors = low_rank(base.unet, matching(base.unet, SUFFIXES), 5, "x", 31)
    adapter = folder / "pytorch_lora_weights.safetensors"
    save_file({f"unet.{name.replace('.x.weight', '.weight')}": tensor for name, tensor in tensors.items()}, adapter)
    dictionary = {f"vqvae_LQ.{name}": tensor for name, tensor in dictionary_tensors().items()}
    others = {"vqvae_LQ.decoder.conv_in.weight": torch.zeros(3), "vqvae_HQ.quant_conv.bias": torch.zeros(3)}
    torch.save({"epoch": 3, "state_dict": dictionary | others}, folder / "associate_2.ckpt")
    torch.save(projection_tensors(base), folder / "embedding_change_weights.pth")
    return adapter


def projection_tensors(base: Base) -> dict[str, torch.Tensor]:
    width = base.unet.config["cross_attention_dim"]
    random = torch.Generator().manual_seed(41)
    shapes = {"conv1.weight": (8, FEATURE, 1), "conv1.bias": (8,)}
    shapes |= {"conv2.weight": (width, 8, 1), "conv2.bias": (width,)}
    return {name: torch.randn(*shape, generator=random) for name, shape in shapes.items()}


def dictionary_tensors(
    widths: Sequence[tuple[int, int]] = WIDTHS, entries: int = ENTRIES, feature: int = FEATURE
) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(42)
    tensors: dict[str, torch.Tensor] = {}

    def layer(name: str, out: int, into: int, kernel: int) -> None:
        tensors[f"{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=random) / (into * kernel**2) ** 0.5
        tensors[f"{name}.bias"] = torch.randn(out, generator=random) * 0.1

    def norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"] = 1 + torch.randn(width, generator=random) * 0.1
        tensors[f"{name}.bias"] = torch.randn(width, generator=random) * 0.1

    def residual(name: str, into: int, out: int) -> None:
        norm(f"{name}.norm1", into)
        layer(f"{name}.conv1", out, into, 3)
        norm(f"{name}.norm2", out)
        layer(f"{name}.conv2", out, out, 3)
        if into != out:
            layer(f"{name}.nin_shortcut", out, into, 1)

    def attention(name: str, width: int) -> None:
        norm(f"{name}.norm1", width)
        norm(f"{name}.norm2", width)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", width, width, 1)

    layer("encoder.conv_in", widths[0][0], 3, 3)
    for level, (into, out) in enumerate(widths):
        residual(f"encoder.down.{level}.block.0", into, out)
        if level < len(widths) - 1:
            layer(f"encoder.down.{level}.downsample.conv", out, out, 3)
        else:
            attention(f"encoder.down.{level}.attn.0", out)
    width = widths[-1][1]
    residual("encoder.mid.block_1", width, width)
    attention("encoder.mid.attn_1", width)
    residual("encoder.mid.block_2", width, width)
    norm("encoder.norm_out", width)
    layer("encoder.conv_out", 24, width, 3)
    layer("quant_conv", feature, 24, 1)
    tensors["quantize.embedding.weight"] = torch.randn(entries, feature, generator=random)
    return tensors


class WrittenOut:
    """The encoder as a list of formulas over the tensors, with no module."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.t = tensors

    def conv(self, name: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
        return F.conv2d(x, self.t[f"{name}.weight"], self.t[f"{name}.bias"], **options)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        grouped = x.reshape(32, -1)
        centred = grouped - grouped.mean(dim=1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        weight, bias = (self.t[f"{name}.{kind}"][None, :, None, None] for kind in ("weight", "bias"))
        return scaled.reshape(x.shape) * weight + bias

    def residual(self, name: str, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in (1, 2):
            y = self.norm(f"{name}.norm{number}", y)
            y = self.conv(f"{name}.conv{number}", y * torch.sigmoid(y), padding=1)
        return y + (self.conv(f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in self.t else x)

    def attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(f"{name}.norm1", x)
        q, k, v = (self.conv(f"{name}.{part}", normed)[0].flatten(1) for part in "qkv")
        shares = (q.T @ k * q.shape[0] ** -0.5).softmax(dim=1)
        return x + self.conv(f"{name}.proj_out", (v @ shares.T).reshape(x.shape))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """`[places,FEATURE]` of a picture `[1,3,h,w]` as the encoder takes it."""
        x = self.conv("encoder.conv_in", x, padding=1)
        x = self.residual("encoder.down.0.block.0", x)
        x = self.conv("encoder.down.0.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
        x = self.attention("encoder.down.1.attn.0", self.residual("encoder.down.1.block.0", x))
        x = self.attention("encoder.mid.attn_1", self.residual("encoder.mid.block_1", x))
        x = self.norm("encoder.norm_out", self.residual("encoder.mid.block_2", x))
        x = self.conv("quant_conv", self.conv("encoder.conv_out", x * torch.sigmoid(x), padding=1))
        return x[0].flatten(1).T
