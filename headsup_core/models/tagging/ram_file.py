"""RAM's file: which of its tensors tag a picture, and the sizes that follow from them.

`ram_swin_large_14m.pth` holds a state dict under `model` (a `.safetensors` holds the tensors themselves): 1042 names,
of which 366 are used for tagging; the others belong to captions, or are computed. Sizes are read off the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelFileError
from ..file_formats.weights_files import check_finite, read_weights

ENCODER, HEAD, OLDER_HEAD = "visual_encoder.", "tagging_head.", "vision_multi."
HEAD_LAYERS = ("crossattention.self.query", "crossattention.self.key", "crossattention.self.value",
               "crossattention.output.dense", "crossattention.output.LayerNorm", "intermediate.dense",
               "output.dense", "output.LayerNorm")  # fmt: skip
MOST_BLOCKS = 64
"""What a stage may have: a guard against a name that counts to infinity."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class RamSizes:
    """The published values stand behind each.

    Attributes:
        patch: side in pixels, 4.
        width: of the first stage, 192; it doubles with each.
        depths, heads: of each stage, (2, 2, 18, 2) and (6, 12, 24, 48).
        window: side in patches, 12; the last stage is one window.
        embedding: width of the picture's tokens for the head, 512.
        hidden, inner: widths of the head, 768 and 3072.
        layers: of the head, 2.
        tags: 4585.
    """

    patch: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    embedding: int
    hidden: int
    inner: int
    layers: int
    tags: int

    @property
    def side(self) -> int:
        """Pixels of the square picture that is looked at: 384."""
        return self.patch * self.window * 2 ** (len(self.depths) - 1)

    def shapes(self) -> Shapes:
        """Every tensor that is used, by name."""
        found: Shapes = {"label_embed": (self.tags, self.embedding)}
        encoder: Shapes = {"patch_embed.proj.weight": (self.width, 3, self.patch, self.patch)}
        encoder |= {"patch_embed.proj.bias": (self.width,)} | _norm("patch_embed.norm", self.width)
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            width = self.width * 2**stage
            for block in range(depth):
                name = f"layers.{stage}.blocks.{block}"
                encoder |= _norm(f"{name}.norm1", width) | _norm(f"{name}.norm2", width)
                encoder[f"{name}.attn.relative_position_bias_table"] = ((2 * self.window - 1) ** 2, heads)
                encoder |= _linear(f"{name}.attn.qkv", width, 3 * width) | _linear(f"{name}.attn.proj", width, width)
                encoder |= _linear(f"{name}.mlp.fc1", width, 4 * width) | _linear(f"{name}.mlp.fc2", 4 * width, width)
            if stage < len(self.depths) - 1:
                encoder |= _norm(f"layers.{stage}.downsample.norm", 4 * width)
                encoder[f"layers.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
        last = self.width * 2 ** (len(self.depths) - 1)
        encoder |= _norm("norm", last)
        found |= {ENCODER + name: shape for name, shape in encoder.items()}
        found |= _linear("image_proj", last, self.embedding) | _linear("wordvec_proj", self.embedding, self.hidden)
        found |= _linear("fc", self.hidden, 1)
        for layer in range(self.layers):
            found |= self._head_layer(f"{HEAD}encoder.layer.{layer}.")
        return found

    def _head_layer(self, name: str) -> Shapes:
        hidden, inner = self.hidden, self.inner
        inputs = {"key": self.embedding, "value": self.embedding}
        found: Shapes = {}
        for layer in HEAD_LAYERS:
            if layer.endswith("LayerNorm"):
                found |= _norm(name + layer, hidden)
            elif layer == "intermediate.dense":
                found |= _linear(name + layer, hidden, inner)
            elif layer == "output.dense":
                found |= _linear(name + layer, inner, hidden)
            else:
                found |= _linear(name + layer, inputs.get(layer.rpartition(".")[2], hidden), hidden)
        return found


def read_ram(path: Path) -> tuple[RamSizes, dict[str, torch.Tensor]]:
    """The sizes and the tensors for tagging of a RAM file.

    Raises:
        ModelFileError: no weights file, no RAM, or one whose tensors do not fit each other: which, and what was
            expected.
    """
    content = read_weights(path, _is_used, mapped=True).content
    nested = content.get("model", content)
    if not isinstance(nested, Mapping):
        raise ModelFileError(f"{path}: `model` is a {type(nested).__name__}, expected RAM's tensors")
    tensors = {
        _renamed(str(name)): value for name, value in nested.items() if isinstance(value, torch.Tensor)
    }
    sizes = _sizes(tensors, path)
    used: dict[str, torch.Tensor] = {}
    shapes = sizes.shapes()
    if missing := [name for name in shapes if name not in tensors]:
        raise ModelFileError(
            f"{path}: {len(missing)} of {len(shapes)} tensors of the tagger are missing, the first is {missing[0]} "
            f"{shapes[missing[0]]}"
        )
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise ModelFileError(f"{path}: {name} is {tuple(tensors[name].shape)}, expected {shape}")
        check_finite(name, tensors[name], path)
        used[name] = tensors[name].float()
    return sizes, used


def _is_used(name: str) -> bool:
    return not name.startswith(("tag_encoder.", "text_decoder."))


def _renamed(name: str) -> str:
    """Older files call the head otherwise."""
    return HEAD + name.removeprefix(OLDER_HEAD) if name.startswith(OLDER_HEAD) else name


def _sizes(tensors: Mapping[str, torch.Tensor], path: Path) -> RamSizes:
    tables: list[list[int]] = []
    window = 0
    while (stage := _tables(tensors, len(tables))) and len(tables) < 8:
        for rows, _heads in stage:
            window = window or (math.isqrt(rows) + 1) // 2
            if (2 * window - 1) ** 2 != rows:
                raise ModelFileError(
                    f"{path}: a relative_position_bias_table has {rows} rows, expected {(2 * window - 1) ** 2} "
                    f"(windows of {window}): it was made for another picture size"
                )
        tables.append([heads for _rows, heads in stage])
    try:
        first = tensors[f"{ENCODER}patch_embed.proj.weight"]
        layers = sum(f"{HEAD}encoder.layer.{index}.intermediate.dense.bias" in tensors for index in range(MOST_BLOCKS))
        sizes = RamSizes(
            patch=first.shape[2],
            width=first.shape[0],
            depths=tuple(len(stage) for stage in tables),
            heads=tuple(stage[0] for stage in tables),
            window=window,
            embedding=tensors["label_embed"].shape[1],
            hidden=tensors["wordvec_proj.bias"].shape[0],
            inner=tensors[f"{HEAD}encoder.layer.0.intermediate.dense.bias"].shape[0],
            layers=layers,
            tags=tensors["label_embed"].shape[0],
        )
    except (KeyError, IndexError) as error:
        some = ", ".join(list(tensors)[:3]) or "no tensors"
        raise ModelFileError(
            f"{path} is no RAM file ({error.args[0]} is missing; it holds {some} ...): expected "
            "ram_swin_large_14m.pth of recognize-anything"
        ) from error
    widths = [sizes.width * 2**stage for stage in range(len(sizes.depths))]
    if not tables or any(width % heads for width, heads in zip(widths, sizes.heads, strict=True)) or sizes.hidden % 4:
        raise ModelFileError(f"{path}: widths {widths} and {sizes.hidden} do not fit {sizes.heads} and 4 heads")
    return sizes


def _tables(tensors: Mapping[str, torch.Tensor], stage: int) -> list[tuple[int, int]]:
    """Shapes of the position tables of a stage's blocks."""
    found: list[tuple[int, int]] = []
    for block in range(MOST_BLOCKS):
        table: Any = tensors.get(f"{ENCODER}layers.{stage}.blocks.{block}.attn.relative_position_bias_table")
        if table is None or table.ndim != 2 or 0 in table.shape:
            break
        found.append((int(table.shape[0]), int(table.shape[1])))
    return found


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
