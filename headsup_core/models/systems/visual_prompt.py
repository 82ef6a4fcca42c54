"""OSDFace's visual prompt (Wang et al. 2024, section 3.2): a face -> 77 entries of a learned dictionary -> embeddings.

A VQGAN-style encoder gives a feature per place; each place names its nearest entry of a codebook. The entries, each
once, in the order of their smallest distance, are the tokens. Layers and widths are those of the weights; their names
are `associate_2.ckpt`'s, without "vqvae_LQ.".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ...errors import ModelFileError
from ..file_formats.weights_files import load_network
from ..one_step import Observation

TOKENS = 77
SIDE = 512
"""The encoder looks at pictures of this side, whatever their size."""
GROUPS = 32
PREFIX = "vqvae_LQ."

Tensors = Mapping[str, torch.Tensor]


class Residual(nn.Module):
    """x + conv2(swish(norm2(conv1(swish(norm1 x))))), x through a 1x1 convolution where the width changes."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(into), _norm(out)
        self.conv1 = nn.Conv2d(into, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(into, out, 1) if into != out else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return inner + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class Attention(nn.Module):
    """x + self-attention of norm1 x over all places, one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = _norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(x)
        q, k, v = (layer(normed).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(mixed)


class Downsample(nn.Module):
    """Half the size: a strided convolution over the picture padded at right and bottom."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """Residual blocks of one size, each followed by attention where the level has it; all but the last level halve."""

    def __init__(self, widths: list[tuple[int, int]], *, attention: bool, halves: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(Residual(into, out) for into, out in widths)
        self.attn = nn.ModuleList(Attention(out) for _, out in widths if attention)
        self.downsample = Downsample(widths[-1][1]) if halves else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[index](x)
        return x if self.downsample is None else self.downsample(x)


class Middle(nn.Module):
    """Residual block, attention, residual block at the smallest size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = Residual(width, width), Attention(width), Residual(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """`[B,3,H,W]` -> features `[B,z,H/f,W/f]`; built for the shapes of `tensors`, named "encoder.…"."""

    def __init__(self, tensors: Tensors, path: Path) -> None:
        super().__init__()
        width, colours = _shape(tensors, "encoder.conv_in.weight", path)[:2]
        self.conv_in = nn.Conv2d(colours, width, 3, padding=1)
        levels: list[Level] = []
        for level in range(_count(tensors, r"encoder\.down\.(\d+)\.")):
            name = f"encoder.down.{level}"
            blocks = range(_count(tensors, rf"encoder\.down\.{level}\.block\.(\d+)\."))
            if not blocks:
                raise ModelFileError(f"{path}: {PREFIX}{name}.block.0.conv1.weight is missing")
            shapes = [_shape(tensors, f"{name}.block.{block}.conv1.weight", path) for block in blocks]
            attention = any(key.startswith(f"{name}.attn.") for key in tensors)
            halves = f"{name}.downsample.conv.weight" in tensors
            levels.append(Level([(shape[1], shape[0]) for shape in shapes], attention=attention, halves=halves))
        self.down = nn.ModuleList(levels)
        out, width = _shape(tensors, "encoder.conv_out.weight", path)[:2]
        self.mid = Middle(width)
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class VisualDictionary(nn.Module):
    """A picture -> tokens `[77,e]`.

    Raises:
        ModelFileError: the weights are incomplete or do not fit together: which, and what was expected.
    """

    def __init__(self, weights: Tensors, path: Path) -> None:
        super().__init__()
        named = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items() if name.startswith(PREFIX)}
        tensors = {name: tensor for name, tensor in named.items() if _used(name)}
        with torch.device("meta"):
            self.encoder = Encoder(tensors, path)
            width, features = _shape(tensors, "quant_conv.weight", path)[:2]
            self.quant_conv = nn.Conv2d(features, width, 1)
            entries = _shape(tensors, "quantize.embedding.weight", path)[0]
            self.quantize = nn.ModuleDict({"embedding": nn.Embedding(entries, width)})
        load_network(self, tensors, torch.float32, path, prefix=PREFIX)

    @property
    def codebook(self) -> torch.Tensor:
        """`[entries,e]`."""
        return self.quantize["embedding"].get_parameter("weight")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Tokens of `image` `[1,3,h,w]` in 0..1."""
        image = F.interpolate(image * 2 - 1, (SIDE, SIDE), mode="bilinear", align_corners=False)
        # once more "to -1..1", although it is: the weights were trained with it
        features = self.quant_conv(self.encoder((image - 0.5) / 0.5))
        places = features[0].flatten(1).T
        chosen = nearest_entries(places, self.codebook)[:TOKENS]
        tokens = self.codebook.new_zeros(TOKENS, self.codebook.shape[1])  # fewer entries than tokens leave zeros
        tokens[: len(chosen)] = self.codebook[chosen]
        return tokens


def nearest_entries(places: torch.Tensor, codebook: torch.Tensor) -> list[int]:
    """The nearest entry of each place `[n,e]` in `codebook` `[entries,e]`, each once, smallest distance first."""
    squares = places.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1)
    distance, entry = (squares - 2 * places @ codebook.T).min(dim=1)
    return list(dict.fromkeys(entry[distance.argsort()].tolist()))


class Projection(nn.Module):
    """Tokens `[77,e]` -> embeddings `[77,D]`: two linear layers, swish after each (`embedding_change_weights.pth`)."""

    def __init__(self, tensors: Tensors, width: int, path: Path) -> None:
        super().__init__()
        shapes = [_shape(tensors, f"{name}.weight", path, "") for name in ("conv1", "conv2")]
        if shapes[1][0] != width:
            raise ModelFileError(f"{path}: conv2.weight gives {shapes[1][0]} values, the base's UNet expects {width}")
        with torch.device("meta"):
            self.conv1, self.conv2 = (nn.Conv1d(shape[1], shape[0], 1) for shape in shapes)
        load_network(self, tensors, torch.float32, path)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.silu(self.conv2(F.silu(self.conv1(tokens.T[None]))))[0].T


class VisualPrompt(nn.Module):
    """An `Observer` that reads the UNet's prompt off the picture."""

    def __init__(self, dictionary: VisualDictionary, projection: Projection) -> None:
        super().__init__()
        self.dictionary, self.projection = dictionary, projection

    @property
    def network(self) -> nn.Module:
        return self

    def observe(self, small: torch.Tensor, enlarged: torch.Tensor) -> Observation:
        del small
        return Observation(prompt=self.projection(self.dictionary(enlarged))[None])


def _used(name: str) -> bool:
    """Whether a tensor takes part; the attention's second norm is there for a use with two inputs."""
    wanted = name.startswith(("encoder.", "quant_conv.")) or name == "quantize.embedding.weight"
    return wanted and re.search(r"\.attn(_1|\.\d+)\.norm2\.", name) is None


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, width, eps=1e-6)


def _count(tensors: Tensors, pattern: str) -> int:
    """One more than the largest number at the pattern's group."""
    return 1 + max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)


def _shape(tensors: Tensors, name: str, path: Path, prefix: str = PREFIX) -> tuple[int, ...]:
    """Shape of a weight, of at least two axes."""
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim < 2:
        raise ModelFileError(f"{path}: {prefix}{name} is missing or no weight: the file is incomplete")
    return tuple(tensor.shape)
