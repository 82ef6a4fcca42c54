"""An exact autoencoder for small models: every f x f block of pixels becomes its DCT coefficients.

A learned codec as small as headsup-tiny needs (AutoencoderTiny, 32 channels, f = 4) lost more detail than the
restoration has to bring back. The discrete cosine transform loses nothing and costs next to nothing, so that all of a
small model's capacity goes into the UNet, which works on a grid f times as coarse as the picture.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

MAX_FACTOR = 16
MAX_REFINE_LAYERS = 16


@dataclass(frozen=True)
class BlockTransformConfig:
    """The fields that the core reads of a codec's configuration."""

    factor: int
    latent_channels: int
    block_out_channels: tuple[int, ...]
    scaling_factor: float


@dataclass(frozen=True)
class Encoded:
    """What encoding gives, in the form of diffusers' AutoencoderTiny."""

    latents: torch.Tensor


@dataclass(frozen=True)
class Decoded:
    """What decoding gives, in the form of diffusers' autoencoders."""

    sample: torch.Tensor


class BlockTransformAutoencoder(nn.Module):
    """Orthonormal DCT of colour blocks, and a small learned correction after the inverse.

    The correction is a few 3x3 convolutions over the decoded picture, the only ones here that see single pixels: it
    joins what the coarse grid predicted on either side of a block's border, and breaks up what repeats from block to
    block. Its last convolution starts at zero: an untrained codec gives back its input exactly.

    Args:
        factor: f, 2 to 16; there are 3 f^2 latent channels, ordered from low to high frequency.
        refine_channels, refine_layers: width and number of the correction's convolutions.
        scaling_factor: latents are multiplied by it.

    Raises:
        ValueError: factor or number of layers out of range.
    """

    def __init__(
        self, factor: int = 4, refine_channels: int = 16, scaling_factor: float = 0.5, refine_layers: int = 3
    ) -> None:
        super().__init__()
        if not 2 <= factor <= MAX_FACTOR:
            raise ValueError(f"factor {factor}: must be 2 to {MAX_FACTOR}")
        if not 2 <= refine_layers <= MAX_REFINE_LAYERS:
            raise ValueError(f"refine_layers {refine_layers}: must be 2 to {MAX_REFINE_LAYERS}")
        self.config = BlockTransformConfig(factor, 3 * factor**2, (refine_channels,), scaling_factor)
        widths = [3, *[refine_channels] * (refine_layers - 1), 3]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU()]
        self.refine = nn.Sequential(*layers[:-1])
        self._refine_layers = refine_layers
        for parameter in self.refine[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def receptive_radius(self) -> tuple[int, int]:
        """(encoder, decoder) in pixels: the block, and the correction's convolutions around it."""
        return self.config.factor - 1, self.config.factor - 1 + self._refine_layers

    def encode(self, image: torch.Tensor) -> Encoded:
        """Coefficients `[B,3f^2,H/f,W/f]` (not scaled) of a picture `[B,3,H,W]` in -1..1."""
        kernel = block_dct(self.config.factor).to(image)
        return Encoded(F.conv2d(image, kernel, stride=self.config.factor))

    def decode(self, latents: torch.Tensor) -> Decoded:
        """The picture `[B,3,H,W]` around -1..1 of coefficients."""
        kernel = block_dct(self.config.factor).to(latents)
        image = F.conv_transpose2d(latents, kernel, stride=self.config.factor)
        return Decoded(image + self.refine(image))


@functools.lru_cache(maxsize=4)
def block_dct(factor: int) -> torch.Tensor:
    """Orthonormal kernels `[3f^2,3,f,f]`: luma and two colour differences x DCT-II, low frequencies first."""
    with torch.inference_mode(False):  # kept for everybody: whoever fits or trains later wants gradients through it
        return _block_dct(factor)


def _block_dct(factor: int) -> torch.Tensor:
    position = torch.arange(factor, dtype=torch.float64)
    basis = torch.cos(torch.pi * (position[None] + 0.5) * position[:, None] / factor) * (2 / factor) ** 0.5
    basis[0] /= 2**0.5
    opponent = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
    opponent = opponent / opponent.norm(dim=1, keepdim=True)
    kernels = torch.einsum("kc,uy,vx->uvkcyx", opponent, basis, basis).reshape(-1, 3, factor, factor)
    order = torch.argsort((position[:, None] + position[None]).flatten().repeat_interleave(3), stable=True)
    return kernels[order].float()
