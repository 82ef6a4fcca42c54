"""The autoencoder between pixels and latents: one face for diffusers' autoencoders and our exact one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..lora.branches import Adapter, Modulation, attached
from .block_transform import BlockTransformAutoencoder
from .exact_parts import Parts, bytes_needed
from .pixel_autoencoder import PixelAutoencoder
from .skip_convolutions import SkipConvolutions, encoder_activations

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny


class Codec:
    """Encodes pictures to scaled latents and back.

    Args:
        vae: a diffusers `AutoencoderKL` or `AutoencoderTiny`, our `BlockTransformAutoencoder`, or `PixelAutoencoder`.
        adapters: beside the encoder.
        skips: from the encoder to the decoder, or None.
        quick_decoder: an `AutoencoderTiny` that decodes in place of `vae` (`quick_decoder.load_taesd`), or None.

    Attributes:
        factor: pixels per latent along each axis (f; 8 for Stable Diffusion).
        channels: latent channels C.
        receptive_radius: (encoder, decoder) radius in pixels outside of which a pixel has no influence, or None when
            unbounded (AutoencoderKL: GroupNorm and attention see the whole input).
    """

    adapters: tuple[Adapter, ...] = ()
    skips: SkipConvolutions | None = None
    quick_decoder: nn.Module | None = None

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny | BlockTransformAutoencoder | PixelAutoencoder,
        adapters: tuple[Adapter, ...] = (),
        skips: SkipConvolutions | None = None,
        quick_decoder: nn.Module | None = None,
    ) -> None:
        self.vae: nn.Module = vae
        self.adapters, self.skips, self.quick_decoder = adapters, skips, quick_decoder
        config: Any = vae.config
        self.channels: int = config.latent_channels
        self._scale: float = config.scaling_factor
        self._shift: float = getattr(config, "shift_factor", None) or 0.0
        self.factor: int
        self.receptive_radius: tuple[int, int] | None = None
        if isinstance(vae, BlockTransformAutoencoder):
            self.factor, self.receptive_radius = vae.config.factor, vae.receptive_radius
        elif isinstance(vae, PixelAutoencoder):
            self.factor, self.receptive_radius = 1, vae.receptive_radius
        elif type(vae).__name__ == "AutoencoderTiny":
            self.factor = 2 ** (len(config.encoder_block_out_channels) - 1)
            self.receptive_radius = (_tiny_encoder_radius(config.num_encoder_blocks), _tiny_decoder_radius(config))
        else:
            self.factor = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Latent `[B,C,H/f,W/f]` (scaled) of a picture `[B,3,H,W]` in 0..1; H and W are multiples of f.

        For AutoencoderKL this is the posterior's mean.
        """
        return self.encode_posterior(image)[0]

    def encode_posterior(
        self, image: torch.Tensor, modulation: Modulation | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latent, each as `encode` gives it (0 where there is no posterior).

        Args:
            modulation: of the adapters' branches, for the whole batch.
        """
        vae: Any = self.vae
        with attached(self.vae, self.adapters, modulation):
            encoded = vae.encode(image * 2 - 1)
        mean = getattr(encoded, "latents", None)
        if mean is not None:
            return (mean - self._shift) * self._scale, torch.zeros_like(mean)
        posterior = encoded.latent_dist
        return (posterior.mean - self._shift) * self._scale, posterior.std * self._scale

    def parts_memory(self, height: int, width: int) -> int | None:
        """Main memory that `encode_in_parts` and `decode_in_parts` take; None when this codec cannot."""
        if type(self.vae).__name__ != "AutoencoderKL" or self.skips is not None:
            return None
        return bytes_needed(self.vae, height, width)

    def encode_in_parts(
        self, image: torch.Tensor, parts: Parts, modulation: Modulation | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `encode_posterior` of the whole `image` `[1,3,H,W]`, which is on the CPU, as is the result."""
        with attached(self.vae, self.adapters, modulation):
            mean, log_variance = parts.encode(self.vae, image * 2 - 1).chunk(2, dim=1)
        deviation = (log_variance.clamp(-30, 20) / 2).exp()
        return (mean - self._shift) * self._scale, deviation * self._scale

    def decode_in_parts(self, latent: torch.Tensor, parts: Parts) -> torch.Tensor:
        """As `decode` of the whole `latent` `[1,C,h,w]`, which is on the CPU, as is the result."""
        return (parts.decode(self.vae, latent / self._scale + self._shift) + 1) / 2

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The autoencoder, and what goes beside it."""
        beside = (*self.adapters, self.skips, self.quick_decoder)
        return (self.vae, *(network for network in beside if network is not None))

    @property
    def decoders(self) -> tuple[nn.Module, ...]:
        """What `decode`, or with skips `decode_with_skips`, calls."""
        if self.quick_decoder is not None:
            return (self.quick_decoder,)
        return (self.vae,) if self.skips is None else self.networks

    @property
    def decoder_radius(self) -> int | None:
        """The decoder's part of `receptive_radius`; that of the quick decoder where there is one."""
        if self.quick_decoder is not None:
            return _tiny_decoder_radius(self.quick_decoder.config)
        return None if self.receptive_radius is None else self.receptive_radius[1]

    def with_quick_decoder(self, decoder: nn.Module) -> Codec:
        """The same codec, decoding by an `AutoencoderTiny`."""
        vae: Any = self.vae
        return Codec(vae, self.adapters, self.skips, decoder)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Picture `[B,3,f*h,f*w]` around 0..1 (not clamped) of a scaled latent `[B,C,h,w]`."""
        if self.quick_decoder is not None:
            quick: Any = self.quick_decoder
            return (quick.decode(latent).sample + 1) / 2
        vae: Any = self.vae
        return (vae.decode(latent / self._scale + self._shift).sample + 1) / 2

    def decode_with_skips(
        self, latent: torch.Tensor, image: torch.Tensor, modulation: Modulation | None = None
    ) -> torch.Tensor:
        """As `decode`, with the skips of the picture that was encoded; without skips it is `decode`.

        The encoder's activations are computed anew: keeping them for a whole picture would take 0.7 kB a pixel.

        Args:
            image: `[B,3,f*h,f*w]` in 0..1, what `latent` was encoded from.
            modulation: as for `encode_posterior`.
        """
        if self.skips is None:
            return self.decode(latent)
        with attached(self.vae, self.adapters, modulation):
            activations = encoder_activations(self.vae, image * 2 - 1)
        with self.skips.attached(self.vae, activations):
            return self.decode(latent)


def _tiny_encoder_radius(blocks: list[int]) -> int:
    """Radius in pixels: conv 3x3 at each level's input, three 3x3 convolutions a block, one at the end."""
    radius, stride = 0, 1
    for level, count in enumerate(blocks):
        radius += stride  # the level's first convolution reads the resolution above it
        if level > 0:
            stride *= 2
        radius += 3 * count * stride
    return radius + stride


def _tiny_decoder_radius(config: Any) -> int:  # noqa: ANN401 - diffusers' configuration
    """Radius in pixels of the decoder's output; nearest upsampling adds up to one step of the coarser grid."""
    blocks, upsampling = config.num_decoder_blocks, config.upsampling_scaling_factor
    stride = upsampling ** (len(blocks) - 1)
    radius = stride
    for level, count in enumerate(blocks):
        radius += 3 * count * stride
        if level < len(blocks) - 1:
            radius += stride - stride // upsampling
            stride //= upsampling
        radius += stride
    return radius
