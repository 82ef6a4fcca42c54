"""The layout of a DiffAE checkpoint, written down from the published autoencoder: names and shapes, random values."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Shapes = dict[str, tuple[int, ...]]


def layout(
    channels: int, multipliers: Sequence[int], encoder_multipliers: Sequence[int], attention: int, width: int
) -> Shapes:
    """Two blocks a level, attention at the level of that index, embeddings and style of `width`."""
    shapes: Shapes = {}
    shapes |= _linear("time_embed.time_embed.0", channels, width) | _linear("time_embed.time_embed.2", width, width)
    shapes |= _conv("input_blocks.0.0", 3, channels, 3)
    kept, now, index = [channels], channels, 1
    for level, multiplier in enumerate(multipliers):
        for _ in range(2):
            shapes |= _residual(f"input_blocks.{index}.0", now, channels * multiplier, width)
            now = channels * multiplier
            if level == attention:
                shapes |= _attention(f"input_blocks.{index}.1", now)
            kept.append(now)
            index += 1
        if level < len(multipliers) - 1:
            shapes |= _residual(f"input_blocks.{index}.0", now, now, width)
            kept.append(now)
            index += 1
    shapes |= _residual("middle_block.0", now, now, width) | _attention("middle_block.1", now)
    shapes |= _residual("middle_block.2", now, now, width)
    index = 0
    for level in range(len(multipliers) - 1, -1, -1):
        for block in range(3):
            wide = channels * multipliers[level]
            shapes |= _residual(f"output_blocks.{index}.0", now + kept.pop(), wide, width)
            now, place = wide, 1
            if level == attention:
                shapes |= _attention(f"output_blocks.{index}.1", now)
                place = 2
            if level and block == 2:
                shapes |= _residual(f"output_blocks.{index}.{place}", now, now, width)
            index += 1
    shapes |= _norm("out.0", now) | _conv("out.2", now, 3, 3)
    encoder = _encoder(channels, encoder_multipliers, attention, width)
    return shapes | {f"encoder.{name}": shape for name, shape in encoder.items()}


def checkpoint(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """As the training's state: weights twice (the average is a tenth larger), a sampler's noise, the prior."""
    generator = torch.Generator().manual_seed(seed)
    plain = {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}
    tensors = {f"model.{name}": value for name, value in plain.items()}
    tensors |= {f"ema_model.{name}": value * 1.1 for name, value in plain.items()}
    return tensors | {"x_T": torch.zeros(1), "ema_model.latent_net.layers.0.weight": torch.zeros(2, 2)}


def _encoder(channels: int, multipliers: Sequence[int], attention: int, width: int) -> Shapes:
    shapes = _conv("input_blocks.0.0", 3, channels, 3)
    now, index = channels, 1
    for level, multiplier in enumerate(multipliers):
        for _ in range(2):
            shapes |= _half(f"input_blocks.{index}.0", now, channels * multiplier)
            now = channels * multiplier
            if level == attention:
                shapes |= _attention(f"input_blocks.{index}.1", now)
            index += 1
        if level < len(multipliers) - 1:
            shapes |= _half(f"input_blocks.{index}.0", now, now)
            index += 1
    shapes |= _half("middle_block.0", now, now) | _attention("middle_block.1", now) | _half("middle_block.2", now, now)
    shapes |= _norm("out.0", now) | _conv("out.3", now, width, 1)
    return shapes


def _half(name: str, inputs: int, outputs: int) -> Shapes:
    shapes = _norm(f"{name}.in_layers.0", inputs) | _conv(f"{name}.in_layers.2", inputs, outputs, 3)
    return shapes if inputs == outputs else shapes | _conv(f"{name}.skip_connection", inputs, outputs, 1)


def _residual(name: str, inputs: int, outputs: int, width: int) -> Shapes:
    return (
        _half(name, inputs, outputs)
        | _linear(f"{name}.emb_layers.1", width, 2 * outputs)
        | _linear(f"{name}.cond_emb_layers.1", width, outputs)
        | _norm(f"{name}.out_layers.0", outputs)
        | _conv(f"{name}.out_layers.3", outputs, outputs, 3)
    )


def _attention(name: str, channels: int) -> Shapes:
    return {
        **_norm(f"{name}.norm", channels),
        f"{name}.qkv.weight": (3 * channels, channels, 1),
        f"{name}.qkv.bias": (3 * channels,),
        f"{name}.proj_out.weight": (channels, channels, 1),
        f"{name}.proj_out.bias": (channels,),
    }


def _conv(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
