"""The networks of a model as functions on batches of tiles: encoder, UNet, decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..imaging.tile_plan import Tile
from ..models.one_step import Observation, OneStepModel
from .people.conditions import Conditions
from .people.injection import denoise_both
from .session import Run
from .tiling.tiled_run import Stage


def unet_stage(model: OneStepModel, prompt: torch.Tensor, observation: Observation | None) -> Stage:
    """Gives the clean latent of C channels; nobody is known."""

    def plain(tiles: torch.Tensor, places: Sequence[Tile]) -> torch.Tensor:
        del places
        return model.denoise(tiles, prompt, observation=observation)

    return Stage("the UNet", plain, model.codec.channels, 1, 1)


def told_unet_stage(run: Run, observation: Observation | None, conditions: Conditions, needed: int) -> Stage:
    """Gives 2C channels: the latent conditioned by known faces, and the one without.

    Args:
        needed: bytes to leave free when networks have to be loaded again.
    """
    model = run.model

    def both(tiles: torch.Tensor, places: Sequence[Tile]) -> torch.Tensor:
        if conditions.prepare(places, needed):  # what did not fit beside the encoder
            run.host.load(model.denoisers, needed)
        return denoise_both(model, tiles, places, run.prompt, observation, conditions)

    return Stage("the UNet", both, 2 * model.codec.channels, 1, 1)


def codec_stages(model: OneStepModel, observation: Observation | None) -> tuple[Stage, Stage]:
    """The encoder, which gives mean and deviation of 2C channels, and the decoder."""
    codec = model.codec
    f, channels, dtype = codec.factor, codec.channels, model.dtype
    encoder_radius = None if codec.receptive_radius is None else codec.receptive_radius[0]

    def encode(tiles: torch.Tensor, places: Sequence[Tile]) -> torch.Tensor:
        del places
        if observation is None:
            return torch.cat(codec.encode_posterior(tiles.to(dtype)), dim=1)
        return torch.cat(codec.encode_posterior(tiles.to(dtype), observation.encoder), dim=1)

    def decode(tiles: torch.Tensor, places: Sequence[Tile]) -> torch.Tensor:
        del places
        if codec.skips is None:
            return codec.decode(tiles.to(dtype))
        latent, pixels = tiles.to(dtype).tensor_split([channels], dim=1)
        modulation = None if observation is None else observation.encoder
        return codec.decode_with_skips(latent, F.pixel_shuffle(pixels, f), modulation)

    in_latents = None if encoder_radius is None else math.ceil(encoder_radius / f)
    return (
        Stage("the encoder", encode, 2 * channels, f, 1, in_latents),
        Stage("the decoder", decode, 3, 1, f, codec.decoder_radius),
    )
