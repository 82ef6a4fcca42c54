"""DAPE's file: the LoRA that SeeSR trained so that RAM tags bad pictures as it tags good ones.

`DAPE.pth` is flat and useless without RAM. loralib's layout: of `qkv`, query and value are adapted, their A one above
the other `[2r,C]`, as their B `[2C,r]`; of the head's cross-attention query and key. alpha is 1 and stands nowhere, so
the scale is 1 / r. W becomes W + B A / r.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelFileError
from ..file_formats.weights_files import check_finite, read_weights
from .ram_file import ENCODER, HEAD, RamSizes

ALPHA = 1.0
HEAD_ADAPTED = ("query", "key")


def with_dape(tensors: Mapping[str, torch.Tensor], sizes: RamSizes, path: Path) -> dict[str, torch.Tensor]:
    """RAM's tensors with those of a DAPE file added.

    Raises:
        ModelFileError: no DAPE, one for a RAM of other sizes, or one that was trained in another way.
    """
    lora = {
        str(name): value
        for name, value in read_weights(path).content.items()
        if isinstance(value, torch.Tensor) and "lora_" in str(name)
    }
    if not lora:
        raise ModelFileError(f"{path} holds no LoRA: expected DAPE.pth of SeeSR, which goes over RAM's file")
    _refuse_trained_captions(lora, path)
    adapted = dict(tensors)
    for stage, depth in enumerate(sizes.depths):
        for block in range(depth):
            layer = f"{ENCODER}layers.{stage}.blocks.{block}.attn.qkv"
            width = sizes.width * 2**stage
            a, b = _pair(lora, layer, path, parts=2, inputs=width, outputs=width)
            query, value = (one @ other for one, other in zip(b.chunk(2), a.chunk(2), strict=True))
            change = torch.cat([query, torch.zeros_like(query), value]) * (ALPHA * 2 / a.shape[0])
            adapted[f"{layer}.weight"] = tensors[f"{layer}.weight"] + change
    for index in range(sizes.layers):
        for name in HEAD_ADAPTED:
            layer = f"{HEAD}encoder.layer.{index}.crossattention.self.{name}"
            inputs = sizes.hidden if name == "query" else sizes.embedding
            a, b = _pair(lora, layer, path, parts=1, inputs=inputs, outputs=sizes.hidden)
            adapted[f"{layer}.weight"] = tensors[f"{layer}.weight"] + b @ a * (ALPHA / a.shape[0])
    return adapted


def _pair(
    lora: Mapping[str, torch.Tensor], layer: str, path: Path, *, parts: int, inputs: int, outputs: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A `[parts r, inputs]` and B `[parts outputs, r]` of a layer, in fp32."""
    a: Any = lora.get(f"{layer}.lora_A")
    b: Any = lora.get(f"{layer}.lora_B")
    if a is None or b is None:
        raise ModelFileError(f"{path}: {layer}.lora_A or lora_B is missing: expected DAPE.pth of SeeSR")
    rank = b.shape[-1] if b.ndim == 2 else 0
    if not rank or tuple(a.shape) != (parts * rank, inputs) or tuple(b.shape) != (parts * outputs, rank):
        raise ModelFileError(
            f"{path}: {layer} has lora_A {tuple(a.shape)} and lora_B {tuple(b.shape)}, expected "
            f"({parts}r, {inputs}) and ({parts * outputs}, r): it belongs to another RAM"
        )
    check_finite(f"{layer}.lora_A", a, path)
    check_finite(f"{layer}.lora_B", b, path)
    return a.float(), b.float()


def _refuse_trained_captions(lora: Mapping[str, torch.Tensor], path: Path) -> None:
    """In SeeSR's code the caption encoder shares weights with the head, and both adapters are added to them. Its
    training never moves the former from zero; a file where it did would need both."""
    for name, tensor in lora.items():
        if name.startswith("tag_encoder.") and name.endswith("lora_B") and bool((tensor != 0).any()):
            raise ModelFileError(f"{path}: {name} is not zero: it was trained in another way than SeeSR's DAPE")
