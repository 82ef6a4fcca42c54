"""How the published scripts tile (OSEDiff, PiSA-SR, S3Diff), written anew from its description, to measure against.

VAE: tiles with a margin run layer by layer in step; each GroupNorm uses the mean of the tiles' means and variances,
weighted by their areas with the margins; attention stays within a tile; margins are cut off, nothing is blended.
UNet: independent tiles, blended with gaussian weights.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F

Box = tuple[int, int, int, int]  # y0, y1, x0, x1


def split(length: int, tile: int, margin: int) -> list[tuple[int, int]]:
    """Parts of an axis that are kept, without margins."""
    count = max(1, math.ceil((length - 2 * margin) / tile))
    size = math.ceil((length - 2 * margin) / count)
    divider = 32
    while divider >= 2 and size % divider:
        if size - size % divider + divider <= tile:
            size += divider - size % divider
            break
        divider //= 2
    edges = [min(length, margin + index * size) for index in range(count + 1)]
    parts = []
    for start, end in itertools.pairwise(edges):
        parts.append((0 if start <= margin else start, length if end >= length - margin else end))
    return parts


def averaged_norm(tiles: list[torch.Tensor], norm: Any) -> list[torch.Tensor]:
    """GroupNorm of all tiles with the averages of their statistics."""
    areas = torch.tensor([float(tile.shape[-2] * tile.shape[-1]) for tile in tiles])
    shares = (areas / areas.sum())[:, None]
    grouped = [tile.reshape(norm.num_groups, -1) for tile in tiles]
    mean = (torch.stack([one.mean(dim=1) for one in grouped]) * shares).sum(dim=0)
    variance = (torch.stack([one.var(dim=1, unbiased=False) for one in grouped]) * shares).sum(dim=0)
    width = tiles[0].shape[1] // norm.num_groups
    values = (mean, (variance + norm.eps).sqrt())
    mean, spread = (value.repeat_interleave(width)[None, :, None, None] for value in values)
    affine = norm.weight[None, :, None, None], norm.bias[None, :, None, None]
    return [(tile - mean) / spread * affine[0] + affine[1] for tile in tiles]


def residual(tiles: list[torch.Tensor], block: Any) -> list[torch.Tensor]:
    inner = [block.conv1(F.silu(tile)) for tile in averaged_norm(tiles, block.norm1)]
    inner = [block.conv2(F.silu(tile)) for tile in averaged_norm(inner, block.norm2)]
    shortcut = block.conv_shortcut or torch.nn.Identity()
    return [shortcut(tile) + one for tile, one in zip(tiles, inner, strict=True)]


def attention(tiles: list[torch.Tensor], layer: Any) -> list[torch.Tensor]:
    results = []
    for tile, normed in zip(tiles, averaged_norm(tiles, layer.group_norm), strict=True):
        places = normed.flatten(2).transpose(1, 2)
        q, k, v = layer.to_q(places), layer.to_k(places), layer.to_v(places)
        mixed = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
        results.append(tile + layer.to_out[0](mixed).transpose(1, 2).reshape(tile.shape))
    return results


def tiled_network(
    network: Any, x: torch.Tensor, tile: int, margin: int, factor: float, *, decoder: bool
) -> torch.Tensor:
    """A VAE's encoder or decoder (diffusers) over `x` `[1,C,H,W]`; `factor`: output pixels per input pixel."""
    height, width = x.shape[-2:]
    if max(height, width) <= tile + 2 * margin:
        return network(x)
    kept = [(*rows, *columns) for rows in split(height, tile, margin) for columns in split(width, tile, margin)]
    boxes = [
        (max(0, y0 - margin), min(height, y1 + margin), max(0, x0 - margin), min(width, x1 + margin))
        for y0, y1, x0, x1 in kept
    ]
    tiles = [network.conv_in(x[..., y0:y1, x0:x1]) for y0, y1, x0, x1 in boxes]
    middle = network.mid_block

    def run_middle(tiles: list[torch.Tensor]) -> list[torch.Tensor]:
        return residual(attention(residual(tiles, middle.resnets[0]), middle.attentions[0]), middle.resnets[1])

    tiles = run_middle(tiles) if decoder else tiles
    for block in network.up_blocks if decoder else network.down_blocks:
        for resnet in block.resnets:
            tiles = residual(tiles, resnet)
        for sampler in (block.upsamplers if decoder else block.downsamplers) or ():
            tiles = [sampler(one) for one in tiles]
    tiles = tiles if decoder else run_middle(tiles)
    tiles = [network.conv_out(F.silu(one)) for one in averaged_norm(tiles, network.conv_norm_out)]
    result = x.new_zeros(1, tiles[0].shape[1], int(height * factor), int(width * factor))
    for values, inner, outer in zip(tiles, kept, boxes, strict=True):
        y0, y1, x0, x1 = (int(edge * factor) for edge in inner)
        top, left = y0 - int(outer[0] * factor), x0 - int(outer[2] * factor)
        result[..., y0:y1, x0:x1] = values[..., top : top + y1 - y0, left : left + x1 - x0]
    return result


def gaussian_tiles(run: Any, latent: torch.Tensor, tile: int, overlap: int) -> torch.Tensor:
    """`run` on tiles of `latent` in steps of tile - overlap, the last at the edge; gaussian weights (var 0.01)."""
    height, width = latent.shape[-2:]
    if height * width <= tile**2:
        return run(latent)
    tile = min(tile, height, width)
    places = torch.arange(tile, dtype=torch.float64)
    bell = {
        middle: torch.exp(-((places - middle) ** 2) / tile**2 / 0.02) for middle in ((tile - 1) / 2, tile / 2)
    }
    weights = torch.outer(bell[tile / 2], bell[(tile - 1) / 2]).float()
    sums, total = torch.zeros_like(latent), torch.zeros_like(latent)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            window = (..., slice(top, top + tile), slice(left, left + tile))
            sums[window] += run(latent[window]) * weights
            total[window] += weights
    return sums / total


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    count = math.ceil((length - overlap) / (tile - overlap))
    return [min(index * (tile - overlap), length - tile) for index in range(count)]
