"""The one formula of every system here: one UNet call turns the latent of a bad picture into that of a good one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from .codec import Codec
from .prediction import PredictionRule
from .prompts import PromptSource

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

NoReference = Literal["zero_latent", "encoded_zero_image"]


@dataclass(frozen=True)
class ModelCard:
    """What a person wants to know of a model before using it."""

    name: str
    licence: str
    training_data: str = ""
    notes: str = ""


@dataclass(frozen=True)
class SizeRule:
    """Picture sizes the networks accept: multiples of `multiple` pixels, at least `minimum` a side."""

    multiple: int
    minimum: int


@dataclass(frozen=True, eq=False)
class OneStepModel:
    """`encode -> one UNet call -> x0 -> decode` as data. Knows nothing of tiles, faces or ComfyUI.

    Attributes:
        unet: takes C latent channels, or 2C+1 (latent, reference latent, face mask).
        scale: enlargement the model was trained for.
        trained_size: side in output pixels of the pictures it was trained on.
        unet_radius: receptive radius of the UNet in latents, None when unbounded.
        no_reference: what fills the reference channels of the 2C+1 when nobody is known.
    """

    codec: Codec
    unet: UNet2DConditionModel
    rule: PredictionRule
    prompt: PromptSource
    size_rule: SizeRule
    scale: int
    trained_size: int
    default_color_fix: str
    card: ModelCard
    no_reference: NoReference = "zero_latent"
    unet_radius: int | None = None
    default_tile: int = 0

    @property
    def takes_reference(self) -> bool:
        """Whether the UNet has the 2C+1 input channels."""
        return unet_in_channels(self.unet) == 2 * self.codec.channels + 1

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The codec's network and the UNet, each to be placed on a device as a whole."""
        return self.codec.vae, self.unet

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.unet.parameters()).dtype

    def denoise(
        self,
        latent: torch.Tensor,
        prompt: torch.Tensor,
        reference: torch.Tensor | None = None,
        face_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Clean latent x0 `[B,C,h,w]` in fp32 of a latent of the same shape: one UNet call.

        Args:
            latent: encoded picture, scaled.
            prompt: `[1,n,D]`, used for the whole batch.
            reference: encoded aligned reference face `[B,C,h,w]`; None: the model's "no reference".
            face_mask: `[B,1,h,w]` in 0..1, where the referenced face is; zero without a reference.

        Raises:
            ValueError: a reference for a model whose UNet takes none.
        """
        weights = next(self.unet.parameters())
        parts = [latent]
        if self.takes_reference:
            parts.append(self._empty_reference(latent) if reference is None else reference)
            parts.append(latent.new_zeros(latent[:, :1].shape) if face_mask is None else face_mask)
        elif reference is not None:
            raise ValueError("this model's UNet has no reference channels")
        sample = torch.cat(parts, dim=1).to(weights.dtype)
        hidden = prompt.to(weights.device, weights.dtype).expand(latent.shape[0], -1, -1)
        unet: Any = self.unet
        prediction = unet(sample, self.rule.timestep, encoder_hidden_states=hidden, return_dict=False)[0]
        return self.rule.x0(latent, prediction)

    def _empty_reference(self, latent: torch.Tensor) -> torch.Tensor:
        if self.no_reference == "zero_latent":
            return torch.zeros_like(latent)
        side_h, side_w = latent.shape[-2] * self.codec.factor, latent.shape[-1] * self.codec.factor
        # x_r = 0 in the networks' range [-1,1] is middle grey here
        grey = torch.full((1, 3, side_h, side_w), 0.5, device=latent.device, dtype=self.dtype)
        return self.codec.encode(grey).to(latent.dtype).expand_as(latent)


def unet_in_channels(unet: nn.Module) -> int:
    """Input channels of a diffusers UNet."""
    config: Any = unet.config
    return config.in_channels


def widen_conv_in(unet: UNet2DConditionModel, in_channels: int) -> None:
    """Give `unet.conv_in` `in_channels` inputs in place: old filters and bias copied, new channels zero (HeadsUp 3.3).

    Raises:
        ValueError: `in_channels` is below what the UNet has.
    """
    old: Any = unet.conv_in
    if in_channels < old.in_channels:
        raise ValueError(f"conv_in has {old.in_channels} input channels, cannot shrink to {in_channels}")
    new = nn.Conv2d(in_channels, old.out_channels, old.kernel_size, padding=old.padding)
    new.to(old.weight.device, old.weight.dtype)
    padding = old.weight.new_zeros(old.out_channels, in_channels - old.in_channels, *old.kernel_size)
    new.load_state_dict({"weight": torch.cat([old.weight.detach(), padding], dim=1), "bias": old.bias.detach()})
    widened: Any = unet
    widened.conv_in = new
    widened.register_to_config(in_channels=in_channels)


@dataclass(frozen=True, eq=False)
class HeadsUpModel:
    """The handle that travels between nodes: shared weights, plus what this branch of a workflow adds. Immutable."""

    one_step: OneStepModel
    identities: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def card(self) -> ModelCard:
        return self.one_step.card
