"""A small RAM of random weights, DAPE over it, and what they answer, computed tensor by tensor from the equations.

The forward pass here shares nothing with the code under test: windows, shifts, masks and position tables are indexed
by hand.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F

DEPTHS, HEADS, WIDTH, WINDOW, PATCH = (2, 2), (1, 2), 8, 4, 4
SIDE = PATCH * WINDOW * 2 ** (len(DEPTHS) - 1)
EMBEDDING, HIDDEN, INNER, RANK = 12, 16, 20, 8
TAGS = ("man", "3D glasses", "beard", "hat", "group", "T-shirt")
THRESHOLDS = (0.5, 0.45, 0.5, 0.55, 1.0, 0.5)

Tensors = dict[str, torch.Tensor]


def ram_tensors(seed: int = 5) -> Tensors:
    """The tensors of a file, unused ones included."""
    chance = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(shape, generator=chance) * scale

    found: Tensors = {"label_embed": draw(len(TAGS), EMBEDDING)}

    def linear(name: str, inputs: int, outputs: int, *, bias: bool = True, gain: float = 1.0) -> None:
        found[f"{name}.weight"] = draw(outputs, inputs, scale=gain / math.sqrt(inputs))
        if bias:
            found[f"{name}.bias"] = draw(outputs, scale=0.2)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = 1 + draw(width, scale=0.2), draw(width, scale=0.2)

    encoder = "visual_encoder."
    found[f"{encoder}patch_embed.proj.weight"] = draw(WIDTH, 3, PATCH, PATCH, scale=0.3)
    found[f"{encoder}patch_embed.proj.bias"] = draw(WIDTH, scale=0.2)
    norm(f"{encoder}patch_embed.norm", WIDTH)
    for stage, depth in enumerate(DEPTHS):
        width = WIDTH * 2**stage
        for block in range(depth):
            name = f"{encoder}layers.{stage}.blocks.{block}."
            norm(f"{name}norm1", width)
            norm(f"{name}norm2", width)
            found[f"{name}attn.relative_position_bias_table"] = draw((2 * WINDOW - 1) ** 2, HEADS[stage])
            found[f"{name}attn.relative_position_index"] = torch.zeros(WINDOW**2, WINDOW**2, dtype=torch.int64)
            linear(f"{name}attn.qkv", width, 3 * width, gain=1.5)
            linear(f"{name}attn.proj", width, width)
            linear(f"{name}mlp.fc1", width, 4 * width)
            linear(f"{name}mlp.fc2", 4 * width, width)
        if stage < len(DEPTHS) - 1:
            norm(f"{encoder}layers.{stage}.downsample.norm", 4 * width)
            linear(f"{encoder}layers.{stage}.downsample.reduction", 4 * width, 2 * width, bias=False)
    last = WIDTH * 2 ** (len(DEPTHS) - 1)
    norm(f"{encoder}norm", last)
    linear("image_proj", last, EMBEDDING)
    linear("wordvec_proj", EMBEDDING, HIDDEN)
    linear("fc", HIDDEN, 1, gain=5.0)
    found["fc.bias"] = torch.tensor([4.0])
    for layer in range(2):
        name = f"tagging_head.encoder.layer.{layer}."
        linear(f"{name}crossattention.self.query", HIDDEN, HIDDEN, gain=2)
        linear(f"{name}crossattention.self.key", EMBEDDING, HIDDEN, gain=2)
        linear(f"{name}crossattention.self.value", EMBEDDING, HIDDEN)
        linear(f"{name}crossattention.output.dense", HIDDEN, HIDDEN)
        norm(f"{name}crossattention.output.LayerNorm", HIDDEN)
        linear(f"{name}intermediate.dense", HIDDEN, INNER)
        linear(f"{name}output.dense", INNER, HIDDEN)
        norm(f"{name}output.LayerNorm", HIDDEN)
    linear("text_decoder.cls", 4, 4)
    return found


def dape_tensors(seed: int = 6) -> Tensors:
    """The LoRA of a DAPE file; that of the caption encoder is zero, as training leaves it."""
    chance = torch.Generator().manual_seed(seed)
    found: Tensors = {}
    for stage, depth in enumerate(DEPTHS):
        width = WIDTH * 2**stage
        for block in range(depth):
            name = f"visual_encoder.layers.{stage}.blocks.{block}.attn.qkv"
            found[f"{name}.lora_A"] = torch.randn(2 * RANK, width, generator=chance)
            found[f"{name}.lora_B"] = torch.randn(2 * width, RANK, generator=chance)
    for layer in range(2):
        for part, inputs in (("query", HIDDEN), ("key", EMBEDDING)):
            name = f"tagging_head.encoder.layer.{layer}.crossattention.self.{part}"
            found[f"{name}.lora_A"] = torch.randn(RANK, inputs, generator=chance)
            found[f"{name}.lora_B"] = torch.randn(HIDDEN, RANK, generator=chance)
    found["tag_encoder.encoder.layer.0.crossattention.self.query.lora_B"] = torch.zeros(HIDDEN, RANK)
    return found


def tagger_files(folder: Path) -> tuple[Path, Path]:
    """RAM's file, `{"model": ...}`, with its words beside it, and DAPE's."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": ram_tensors(), "epoch": 3}, folder / "ram_tiny.pth")
    torch.save(dape_tensors(), folder / "dape_tiny.pth")
    (folder / "tags.txt").write_text("\n".join(TAGS))  # the published list has no line end at its end
    (folder / "thresholds.txt").write_text("\n".join(map(str, THRESHOLDS)) + "\n")
    return folder / "ram_tiny.pth", folder / "dape_tiny.pth"


def merged(ram: Tensors, dape: Tensors) -> Tensors:
    """W + B A / 8 for query and value of the picture's attention, query and key of the words'."""
    found = dict(ram)
    for name, a in dape.items():
        if not name.endswith("lora_A"):
            continue
        layer, b = name.removesuffix(".lora_A"), dape[name.removesuffix("A") + "B"]
        weight = found[f"{layer}.weight"].clone()
        if layer.endswith("qkv"):
            width = weight.shape[1]
            weight[:width] += b[:width] @ a[:RANK] / 8
            weight[2 * width :] += b[width:] @ a[RANK:] / 8
        else:
            weight += b @ a / 8
        found[f"{layer}.weight"] = weight
    return found


def expected_logits(t: Tensors, pixels: torch.Tensor) -> torch.Tensor:
    """`[T]` for normalised pixels `[1,3,SIDE,SIDE]`."""
    e = "visual_encoder."
    x = F.conv2d(pixels, t[f"{e}patch_embed.proj.weight"], t[f"{e}patch_embed.proj.bias"], stride=PATCH)[0]
    x = _norm(x.permute(1, 2, 0), t, f"{e}patch_embed.norm", 1e-5)  # [rows, columns, width]
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            x = _block(x, t, f"{e}layers.{stage}.blocks.{block}.", HEADS[stage], shifted=block % 2 == 1)
        if stage < len(DEPTHS) - 1:
            parts = [x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]]
            x = _norm(torch.cat(parts, -1), t, f"{e}layers.{stage}.downsample.norm", 1e-5)
            x = x @ t[f"{e}layers.{stage}.downsample.reduction.weight"].T
    tokens = _norm(x.flatten(0, 1), t, f"{e}norm", 1e-5)
    seen = _linear(torch.cat([tokens.mean(0, keepdim=True), tokens]), t, "image_proj")
    words = _linear(t["label_embed"], t, "wordvec_proj").clamp(min=0)
    for layer in range(2):
        n = f"tagging_head.encoder.layer.{layer}."
        q = _linear(words, t, f"{n}crossattention.self.query")
        k, v = (_linear(seen, t, f"{n}crossattention.self.{part}") for part in ("key", "value"))
        size = HIDDEN // 4
        told = [
            torch.softmax(q[:, at : at + size] @ k[:, at : at + size].T / math.sqrt(size), -1) @ v[:, at : at + size]
            for at in range(0, HIDDEN, size)
        ]
        words = _linear(torch.cat(told, -1), t, f"{n}crossattention.output.dense") + words
        words = _norm(words, t, f"{n}crossattention.output.LayerNorm", 1e-12)
        inner = _gelu(_linear(words, t, f"{n}intermediate.dense"))
        words = _norm(_linear(inner, t, f"{n}output.dense") + words, t, f"{n}output.LayerNorm", 1e-12)
    return _linear(words, t, "fc")[:, 0]


def _block(x: torch.Tensor, t: Tensors, name: str, heads: int, *, shifted: bool) -> torch.Tensor:
    """Attention within windows of WINDOW x WINDOW, token by token: who is in whose window is asked of coordinates."""
    rows, columns, width = x.shape
    shift = WINDOW // 2 if shifted and rows > WINDOW else 0
    q, k, v = _linear(_norm(x, t, f"{name}norm1", 1e-5), t, f"{name}attn.qkv").flatten(0, 1).chunk(3, -1)
    y, x_at = (axis.flatten() for axis in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    # moved up and left by the shift: windows of the moved grid; what came round from the other side is apart
    moved_y, moved_x = (y - shift) % rows, (x_at - shift) % columns
    window = moved_y // WINDOW * columns + moved_x // WINDOW
    apart = (y < shift).int() * 2 + (x_at < shift).int()
    sees = (window[:, None] == window[None]) & (apart[:, None] == apart[None])
    dy, dx = moved_y[:, None] - moved_y[None], moved_x[:, None] - moved_x[None]
    index = ((dy + WINDOW - 1) * (2 * WINDOW - 1) + dx + WINDOW - 1).clamp(0, (2 * WINDOW - 1) ** 2 - 1)
    size, told = width // heads, []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        scores = scores + t[f"{name}attn.relative_position_bias_table"][index, head]
        told.append(torch.softmax(scores.masked_fill(~sees, -torch.inf), -1) @ v[:, part])
    x = x + _linear(torch.cat(told, -1), t, f"{name}attn.proj").view(rows, columns, width)
    inner = _gelu(_linear(_norm(x, t, f"{name}norm2", 1e-5), t, f"{name}mlp.fc1"))
    return x + _linear(inner, t, f"{name}mlp.fc2")


def _linear(x: torch.Tensor, t: Tensors, name: str) -> torch.Tensor:
    return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]


def _norm(x: torch.Tensor, t: Tensors, name: str, eps: float) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / deviation * t[f"{name}.weight"] + t[f"{name}.bias"]


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2
