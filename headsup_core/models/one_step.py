"""The one formula of every system here: one UNet call turns the latent of a bad picture into that of a good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from .codecs.codec import Codec
from .lora.branches import Adapter, Modulation, call_adapted
from .prediction import PredictionRule
from .prompts import PromptSource
from .record import ModelCard, ModelRecord, NoReference, ReferencePlacement

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from ..imaging.published import PublishedSizing


@dataclass(frozen=True)
class SizeRule:
    """Picture sizes the networks accept: multiples of `multiple` pixels, at least `minimum` a side.

    Attributes:
        fixed: squares of `minimum` pixels only.
    """

    multiple: int
    minimum: int
    fixed: bool = False


@dataclass(frozen=True, eq=False)
class Pass:
    """One term of the prediction: `weight` times the UNet with `adapters` beside it and the prompt at index `prompt`.

    Guidance and mixtures of adapters are sums of passes: n + g (p - n) = (1 - g) n + g p.
    """

    weight: float = 1.0
    adapters: tuple[Adapter, ...] = ()
    prompt: int = 0


@dataclass(frozen=True, eq=False)
class Observation:
    """What a model reads off the whole bad picture before it is cut into tiles.

    Attributes:
        prompt: embeddings `[1,n,D]` in place of the text's, or None.
        encoder, unet: modulation of the branches of the codec's encoder and of the UNet, or None.
    """

    prompt: torch.Tensor | None = None
    encoder: Modulation | None = None
    unet: Modulation | None = None


class Observer(Protocol):
    """Looks at the whole picture (S3Diff's degradation estimator, OSDFace's visual prompt)."""

    @property
    def network(self) -> nn.Module:
        """To be placed on the device before `observe`."""
        ...

    def observe(self, small: torch.Tensor, enlarged: torch.Tensor) -> Observation:
        """`small` `[1,3,h,w]`, the input, and `enlarged` `[1,3,H,W]`, what is encoded; both in 0..1, on the device."""
        ...


@dataclass(frozen=True, eq=False)
class OneStepModel:
    """`encode -> one UNet call -> x0 -> decode`: networks, and the record of them. No tiles, no faces, no ComfyUI.

    Attributes:
        unet: takes C latent channels, or 2C+1 (latent, reference latent, face mask).
        prompt: gives the embeddings of the UNet's cross-attention.
        record: everything that is known of the model besides its weights.
        passes: the UNet calls whose weighted sum is the prediction.
        observer: reads conditions off the whole picture, or None.
    """

    codec: Codec
    unet: UNet2DConditionModel
    prompt: PromptSource
    record: ModelRecord
    passes: tuple[Pass, ...] = (Pass(),)
    observer: Observer | None = None

    @property
    def size_rule(self) -> SizeRule:
        """Sides are multiples of what codec and UNet halve, and at least the record's `minimum_side`; or the only side
        that a network takes."""
        config: Any = self.unet.config
        only = getattr(config, "only_side", None)
        if only is not None:
            return SizeRule(only, only, fixed=True)
        multiple = self.codec.factor * 2 ** (len(config.block_out_channels) - 1)
        return SizeRule(multiple, max(multiple, self.record.minimum_side))

    @property
    def takes_reference(self) -> bool:
        """Whether the UNet has the 2C+1 input channels, so that a known person can change what is restored."""
        channels = unet_in_channels(self.unet)
        for adapter in self.unet_adapters:
            trained = adapter.replacements().get("conv_in.weight")
            channels = channels if trained is None else trained.shape[1]
        return channels in input_channels(self.codec.channels)[1:]

    @property
    def unet_adapters(self) -> tuple[Adapter, ...]:
        """The adapters beside the UNet in any pass."""
        return tuple(dict.fromkeys(adapter for one in self.passes for adapter in one.adapters))

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        """What `denoise` calls: the UNet and its adapters."""
        return (self.unet, *self.unet_adapters)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All networks, each to be placed on a device as a whole: the codec's, the UNet, then adapters and observer."""
        observer = () if self.observer is None else (self.observer.network,)
        return (self.codec.vae, self.unet, *self.codec.networks[1:], *self.denoisers[1:], *observer)

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
        observation: Observation | None = None,
    ) -> torch.Tensor:
        """Clean latent x0 `[B,C,h,w]` in fp32 of a latent of the same shape: one UNet call a pass.

        Args:
            latent: encoded picture, scaled.
            prompt: `[p,n,D]`, each used for the whole batch, or `[p,B,n,D]`; passes name theirs by index.
            reference: encoded aligned reference face `[B,C,h,w]`; None: the model's "no reference".
            face_mask: `[B,1,h,w]` in 0..1, where the referenced face is; zero without a reference.
            observation: what the observer read off the whole picture.

        Raises:
            ValueError: a reference for a model whose UNet takes none.
        """
        weights = next(self.unet.parameters())
        parts = [latent]
        if self.takes_reference:
            parts.append(self.empty_reference(latent) if reference is None else reference)
            parts.append(latent.new_zeros(latent[:, :1].shape) if face_mask is None else face_mask)
        elif reference is not None:
            raise ValueError("this model's UNet has no reference channels")
        sample = torch.cat(parts, dim=1).to(weights.dtype)
        if observation is not None and observation.prompt is not None:
            prompt = observation.prompt
        modulation = None if observation is None else observation.unet
        rule = self.record.rule
        prediction: torch.Tensor | None = None
        for term in self.passes:
            told = prompt[term.prompt].to(weights.device, weights.dtype)
            hidden = told if told.ndim == 3 else told.expand(latent.shape[0], -1, -1)
            options = {"encoder_hidden_states": hidden, "return_dict": False}
            output = call_adapted(self.unet, term.adapters, modulation, sample, rule.timestep, **options)[0].float()
            output = output if term.weight == 1.0 else term.weight * output
            prediction = output if prediction is None else prediction + output
        if prediction is None:
            raise ValueError("a model without passes predicts nothing")
        return rule.x0(latent, prediction)

    def empty_reference(self, latent: torch.Tensor) -> torch.Tensor:
        """What fills the reference's channels beside `latent` `[B,C,h,w]` when nobody is known; of the same shape."""
        if self.record.no_reference == "zero_latent":
            return torch.zeros_like(latent)
        side_h, side_w = latent.shape[-2] * self.codec.factor, latent.shape[-1] * self.codec.factor
        # x_r = 0 in the networks' range [-1,1] is middle grey here
        grey = torch.full((1, 3, side_h, side_w), 0.5, device=latent.device, dtype=self.dtype)
        return self.codec.encode(grey).to(latent.dtype).expand_as(latent)

    # What the rest of the code asks for most, straight from the record.
    @property
    def card(self) -> ModelCard:
        return self.record.card

    @property
    def rule(self) -> PredictionRule:
        return self.record.rule

    @property
    def scale(self) -> int:
        return self.record.scale

    @property
    def trained_size(self) -> int:
        return self.record.trained_size

    @property
    def trained_eyes(self) -> tuple[float, float] | None:
        return self.record.trained_eyes

    @property
    def margin(self) -> int:
        return self.record.margin

    @property
    def no_reference(self) -> NoReference:
        return self.record.no_reference

    @property
    def reference_placement(self) -> ReferencePlacement:
        return self.record.reference_placement

    @property
    def default_color_fix(self) -> str:
        return self.record.default_color_fix

    @property
    def aligned_face(self) -> int:
        return self.record.aligned_face

    @property
    def published(self) -> PublishedSizing | None:
        return self.record.published

    @property
    def system(self) -> str:
        return self.record.system

    @property
    def base(self) -> str:
        return self.record.base


def input_channels(latent: int) -> tuple[int, ...]:
    """What a UNet over `latent` channels may take: the latent; or latent, reference latent and face mask."""
    return latent, 2 * latent + 1


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
    new.requires_grad_(old.weight.requires_grad)
    new.load_state_dict({"weight": torch.cat([old.weight.detach(), padding], dim=1), "bias": old.bias.detach()})
    widened: Any = unet
    widened.conv_in = new
    widened.register_to_config(in_channels=in_channels)
