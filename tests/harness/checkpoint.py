"""A Stable Diffusion 1.5 checkpoint that ComfyUI's own loader reads, with few layers and nothing learned."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH, TIME, WORDS = 320, 1280, 768  # what ComfyUI tells Stable Diffusion 1.5 by
VOCABULARY, TOKENS, TEXT_LAYERS = 49408, 77, 12
Shapes = dict[str, tuple[int, ...]]


def write_checkpoint(path: Path) -> None:
    """Write a UNet of one resolution, a TAESD as VAE, and a text encoder of zeros (250 MB, in float16)."""
    generator = torch.Generator().manual_seed(0)
    drawn = {f"model.diffusion_model.{key}": shape for key, shape in unet().items()}
    drawn |= {f"first_stage_model.{key}": shape for key, shape in taesd().items()}
    state = {key: (torch.randn(shape, generator=generator) * 0.03).half() for key, shape in drawn.items()}
    prefix = "cond_stage_model.transformer.text_model."
    state |= {prefix + key: torch.zeros(shape, dtype=torch.half) for key, shape in text_encoder().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)


def layer(name: str, *weight: int, bias: bool = True) -> Shapes:
    """A layer's weight, and its bias."""
    return {f"{name}.weight": weight, **({f"{name}.bias": weight[:1]} if bias else {})}


def unet() -> Shapes:
    """Input, one block down, the middle, two blocks up, output."""
    shapes = layer("time_embed.0", TIME, WIDTH) | layer("time_embed.2", TIME, TIME)
    shapes |= layer("input_blocks.0.0", WIDTH, 4, 3, 3)
    shapes |= residual("input_blocks.1.0", WIDTH) | transformer("input_blocks.1.1")
    shapes |= residual("middle_block.0", WIDTH) | transformer("middle_block.1") | residual("middle_block.2", WIDTH)
    for block in ("output_blocks.0", "output_blocks.1"):
        shapes |= residual(f"{block}.0", 2 * WIDTH) | transformer(f"{block}.1")
    return shapes | layer("out.0", WIDTH) | layer("out.2", 4, WIDTH, 3, 3)


def residual(name: str, channels: int) -> Shapes:
    shapes = layer(f"{name}.in_layers.0", channels) | layer(f"{name}.in_layers.2", WIDTH, channels, 3, 3)
    shapes |= layer(f"{name}.emb_layers.1", WIDTH, TIME)
    shapes |= layer(f"{name}.out_layers.0", WIDTH) | layer(f"{name}.out_layers.3", WIDTH, WIDTH, 3, 3)
    return shapes if channels == WIDTH else shapes | layer(f"{name}.skip_connection", WIDTH, channels, 1, 1)


def transformer(name: str) -> Shapes:
    block = f"{name}.transformer_blocks.0"
    shapes = layer(f"{name}.norm", WIDTH)
    shapes |= layer(f"{name}.proj_in", WIDTH, WIDTH, 1, 1) | layer(f"{name}.proj_out", WIDTH, WIDTH, 1, 1)
    for number, words in (("1", WIDTH), ("2", WORDS)):
        shapes |= layer(f"{block}.attn{number}.to_q", WIDTH, WIDTH, bias=False)
        shapes |= layer(f"{block}.attn{number}.to_k", WIDTH, words, bias=False)
        shapes |= layer(f"{block}.attn{number}.to_v", WIDTH, words, bias=False)
        shapes |= layer(f"{block}.attn{number}.to_out.0", WIDTH, WIDTH)
    shapes |= layer(f"{block}.ff.net.0.proj", 8 * WIDTH, WIDTH) | layer(f"{block}.ff.net.2", WIDTH, 4 * WIDTH)
    for number in "123":
        shapes |= layer(f"{block}.norm{number}", WIDTH)
    return shapes


def taesd() -> Shapes:
    """TAESD's encoder and decoder, by the places of their layers."""
    shapes = layer("taesd_encoder.0", 64, 3, 3, 3) | layer("taesd_encoder.14", 4, 64, 3, 3)
    shapes |= layer("taesd_decoder.1", 64, 4, 3, 3) | layer("taesd_decoder.19", 3, 64, 3, 3)
    for name, blocks, resized in (
        ("taesd_encoder", (1, 3, 4, 5, 7, 8, 9, 11, 12, 13), (2, 6, 10)),
        ("taesd_decoder", (3, 4, 5, 8, 9, 10, 13, 14, 15, 18), (7, 12, 17)),
    ):
        for place in blocks:
            for conv in (0, 2, 4):
                shapes |= layer(f"{name}.{place}.conv.{conv}", 64, 64, 3, 3)
        for place in resized:
            shapes |= layer(f"{name}.{place}", 64, 64, 3, 3, bias=False)
    return shapes


def text_encoder() -> Shapes:
    """CLIP ViT-L's text half; ComfyUI makes it in full size, whatever the file holds."""
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (VOCABULARY, WORDS),
        "embeddings.position_embedding.weight": (TOKENS, WORDS),
        **layer("final_layer_norm", WORDS),
    }
    for number in range(TEXT_LAYERS):
        name = f"encoder.layers.{number}"
        for part in ("layer_norm1", "layer_norm2"):
            shapes |= layer(f"{name}.{part}", WORDS)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= layer(f"{name}.self_attn.{part}", WORDS, WORDS)
        shapes |= layer(f"{name}.mlp.fc1", 4 * WORDS, WORDS) | layer(f"{name}.mlp.fc2", WORDS, 4 * WORDS)
    return shapes
