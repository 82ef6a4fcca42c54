"""What `decoder=taesd` saves: operations of a restoration with Stable Diffusion 2.1's networks, and seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ...imaging.tile_plan import plan_tiles
from ...models.bases.base import SD2_UNET, SD_VAE
from ...models.codecs.codec import Codec

FACTOR, CHANNELS, PROMPT_TOKENS = 8, 4, 77
TILE, OVERLAP, MULTIPLE = 128, 16, 8
"""Our tiles, in latents: the default of 1024 px."""
THEIR_TILE, THEIR_STEP = 96, 64
"""OSEDiff's own script, in latents: tiles of the UNet, every 64."""
THEIR_ENCODER, THEIR_DECODER = (1024, 32), (224, 11)
"""Its tiles of the VAE and the margin around each, in pixels and in latents (its `my_utils/vaehook.py`)."""
TERA = 1e12


@dataclass(frozen=True)
class Operations:
    """Multiplications and additions of a picture, in 10^12."""

    encoder: float
    unet: float
    decoder: float

    @property
    def whole(self) -> float:
        return self.encoder + self.unet + self.decoder


def operations(side: int) -> dict[str, Operations]:
    """What a result of `side` px takes: by OSEDiff's own script, and by us with either decoder. Nothing is computed.

    Ours sees the whole picture in the VAE's attention, theirs a tile; theirs computes the margins of the VAE's tiles.
    """
    networks = _Networks("meta")
    latents = side // FACTOR
    plan = plan_tiles(latents, latents, TILE, OVERLAP, MULTIPLE)
    unet = len(plan.tiles) * networks.unet(plan.tile_height, plan.tile_width)
    encoder = networks.encode(latents, latents)
    along = 1 + max(0, -(-(latents - THEIR_TILE) // THEIR_STEP))
    theirs = min(latents, THEIR_TILE)
    parts = [each // FACTOR for each in their_sides(side, *THEIR_ENCODER)], their_sides(latents, *THEIR_DECODER)
    encoded, decoded = (list(product(sides, sides)) for sides in parts)
    published = Operations(
        sum(networks.encode(*each) for each in encoded),
        along**2 * networks.unet(theirs, theirs),
        sum(networks.decode(*each) for each in decoded),
    )
    taesd = len(plan.tiles) * networks.decode_quickly(plan.tile_height, plan.tile_width)
    return {
        "OSEDiff's own script": published,
        "decoder own": Operations(encoder, unet, networks.decode(latents, latents)),
        "decoder taesd": Operations(encoder, unet, taesd),
    }


def their_sides(side: int, tile: int, margin: int) -> list[int]:
    """Sides of the VAE's tiles of OSEDiff's script along one axis, with their margins.

    Equal steps in multiples of 32; the picture's border is the first and the last margin.
    """
    if side <= tile + 2 * margin:
        return [side]
    inner = side - 2 * margin
    count = math.ceil(inner / tile)
    step = math.ceil(inner / count / 32) * 32
    ends = [min(margin + (number + 1) * step, side) for number in range(count)]
    return [min(side, end + margin) - number * step for number, end in enumerate(ends)]


class _Networks:
    """Stable Diffusion 2.1's networks and TAESD's decoder, random, on a device; each call counts its operations."""

    def __init__(self, device: str) -> None:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        with torch.device(device):
            self._unet: Any = UNet2DConditionModel(**SD2_UNET).eval()
            vae, tiny = AutoencoderKL(**SD_VAE).eval(), AutoencoderTiny().eval()
        self.codec, self.quick = Codec(vae), Codec(vae, quick_decoder=tiny)
        self._device = device

    def unet(self, height: int, width: int) -> float:
        prompt = torch.empty(1, PROMPT_TOKENS, SD2_UNET["cross_attention_dim"], device=self._device)
        return self._count(lambda: self._unet(self._latent(height, width), 999, encoder_hidden_states=prompt))

    def encode(self, height: int, width: int) -> float:
        picture = torch.empty(1, 3, height * FACTOR, width * FACTOR, device=self._device)
        return self._count(lambda: self.codec.encode(picture))

    def decode(self, height: int, width: int) -> float:
        return self._count(lambda: self.codec.decode(self._latent(height, width)))

    def decode_quickly(self, height: int, width: int) -> float:
        return self._count(lambda: self.quick.decode(self._latent(height, width)))

    def _latent(self, height: int, width: int) -> torch.Tensor:
        return torch.empty(1, CHANNELS, height, width, device=self._device)

    @torch.no_grad()
    def _count(self, run: Callable[[], object]) -> float:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() / TERA


@torch.no_grad()
def decoding_seconds(side: int, runs: int = 3) -> tuple[float, float]:
    """Fastest of `runs` runs of each decoder at full width, own and TAESD's in turn, to a picture of `side` px."""
    codecs = _random_codecs()
    latent = torch.randn(1, CHANNELS, side // FACTOR, side // FACTOR, generator=torch.Generator().manual_seed(0))
    best = [float("inf")] * len(codecs)
    for _ in range(runs):
        for index, codec in enumerate(codecs):
            started = time.perf_counter()
            codec.decode(latent)
            best[index] = min(best[index], time.perf_counter() - started)
    return best[0], best[1]


def _random_codecs() -> tuple[Codec, Codec]:
    """Stable Diffusion's codec at its full width with random weights, and the same with TAESD's decoder."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae, tiny = AutoencoderKL(**SD_VAE).eval(), AutoencoderTiny().eval()
    return Codec(vae), Codec(vae, quick_decoder=tiny)


def decoder_table(side: int, timed_side: int) -> str:
    """Markdown: operations of a restoration to `side` px, and seconds of the decoders to `timed_side` px."""
    found = operations(side)
    base = found["OSEDiff's own script"].whole
    lines = [
        f"| 10^12 operations at {side}x{side} | encoder | UNet | decoder | whole | against OSEDiff's own |",
        "|---" * 6 + "|",
    ]
    for name, one in found.items():
        figures = " | ".join(f"{value:.1f}" for value in (one.encoder, one.unet, one.decoder, one.whole))
        lines.append(f"| {name} | {figures} | {one.whole / base:.2f} |")
    own, quick = decoding_seconds(timed_side)
    lines += [
        "",
        f"| decoding {timed_side}x{timed_side} | seconds | against own |",
        "|---|---|---|",
        f"| own | {own:.2f} | 1.00 |",
        f"| taesd | {quick:.2f} | {quick / own:.3f} |",
    ]
    return "\n".join(lines)
