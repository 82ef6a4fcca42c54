"""The one formula of every system here: one UNet call turns the latent of a bad picture into that of a good one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import nn

from .codecs.codec import Codec
from .id_tokens import FULL, IdTokens, TokenScales
from .lora.branches import Adapter, Modulation, call_adapted
from .prediction import PredictionRule
from .prompts import PromptSource

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from ..imaging.published import PublishedSizing

NoReference = Literal["zero_latent", "encoded_zero_image"]
ReferencePlacement = Literal["aligned", "warped"]


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


def eye_range(value: Any) -> tuple[float, float] | None:  # noqa: ANN401 - of a file's header
    """`trained_eyes` of a record. Raises `ValueError` unless None or two numbers, 0 < least <= largest."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(v, int | float) for v in value):
        raise ValueError(f"trained_eyes is {value!r}, expected null or two numbers of pixels")
    least, largest = float(value[0]), float(value[1])
    if not 0 < least <= largest < 1e5:
        raise ValueError(f"trained_eyes is {value!r}, expected the least distance first, above 0")
    return least, largest


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
    """`encode -> one UNet call -> x0 -> decode` as data. Knows nothing of tiles, faces or ComfyUI.

    Attributes:
        unet: takes C latent channels, or 2C+1 (latent, reference latent, face mask).
        scale: enlargement the model was trained for.
        trained_size: side in output pixels of the pictures it was trained on.
        trained_eyes: least and largest eye distance in output pixels of the faces it was trained on; faces beyond get
            tiles of their own at such a size. None: they do not.
        margin: pixels by which a picture is continued on each side before it is encoded.
        unet_radius: receptive radius of the UNet in latents, None when unbounded.
        no_reference: what fills the reference channels of the 2C+1 when nobody is known.
        reference_placement: where a reference lies in its channels: "aligned", the upright crop resized to the tile
            (HeadsUp, 3.3), or "warped" onto the face (`faces.reference`).
        passes: the UNet calls whose weighted sum is the prediction.
        model_id: of its file, the name with a checksum; names what was fitted to it in `Identity.fitted`.
        id_tokens: turns a face embedding into tokens of the UNet's cross-attention, or None.
        observer: reads conditions off the whole picture, or None.
        published: how the system's own script upsamples and sizes, for `sizing="published"`; None: it has no own way.
        aligned_face: side in pixels of the aligned faces that the model restores; 0: it restores whole pictures.
        system: id of the published system, "" for a model that is complete in itself.
        base: what its adapter was trained beside, for people: 2.1-base and SD-Turbo have the same shapes.
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
    reference_placement: ReferencePlacement = "aligned"
    unet_radius: int | None = None
    default_tile: int = 0
    margin: int = 0
    passes: tuple[Pass, ...] = (Pass(),)
    observer: Observer | None = None
    published: PublishedSizing | None = None
    aligned_face: int = 0
    trained_eyes: tuple[float, float] | None = None
    system: str = ""
    base: str = ""
    id_tokens: IdTokens | None = None
    model_id: str = "unsaved"

    @property
    def takes_reference(self) -> bool:
        """Whether the UNet has the 2C+1 input channels."""
        channels = unet_in_channels(self.unet)
        for adapter in self.unet_adapters:
            trained = adapter.replacements().get("conv_in.weight")
            channels = channels if trained is None else trained.shape[1]
        return channels == 2 * self.codec.channels + 1

    @property
    def unet_adapters(self) -> tuple[Adapter, ...]:
        """The adapters beside the UNet in any pass."""
        return tuple(dict.fromkeys(adapter for one in self.passes for adapter in one.adapters))

    @property
    def takes_identity(self) -> bool:
        """Whether a known person can change what it restores: by a reference, by identity tokens, or by both."""
        return self.takes_reference or self.id_tokens is not None

    @property
    def denoisers(self) -> tuple[nn.Module, ...]:
        """What `denoise` calls: the UNet, its adapters, the identity tokens."""
        return (self.unet, *self.unet_adapters, *(() if self.id_tokens is None else (self.id_tokens,)))

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
        embedding: torch.Tensor | None = None,
        token_scales: TokenScales = FULL,
    ) -> torch.Tensor:
        """Clean latent x0 `[B,C,h,w]` in fp32 of a latent of the same shape: one UNet call a pass.

        Args:
            latent: encoded picture, scaled.
            prompt: `[p,n,D]`, each used for the whole batch; passes name theirs by index.
            reference: encoded aligned reference face `[B,C,h,w]`; None: the model's "no reference".
            face_mask: `[B,1,h,w]` in 0..1, where the referenced face is; zero without a reference.
            observation: what the observer read off the whole picture.
            embedding: `[B,D]`, of the faces, for the identity tokens; None: without them.
            token_scales: how much the tokens count in each group of layers.

        Raises:
            ValueError: a reference for a model whose UNet takes none, or an embedding for one without identity tokens.
        """
        weights = next(self.unet.parameters())
        parts = [latent]
        if self.takes_reference:
            parts.append(self._empty_reference(latent) if reference is None else reference)
            parts.append(latent.new_zeros(latent[:, :1].shape) if face_mask is None else face_mask)
        elif reference is not None:
            raise ValueError("this model's UNet has no reference channels")
        if embedding is not None and self.id_tokens is None:
            raise ValueError("this model has no identity tokens")
        sample = torch.cat(parts, dim=1).to(weights.dtype)
        if observation is not None and observation.prompt is not None:
            prompt = observation.prompt
        modulation = None if observation is None else observation.unet
        prediction: torch.Tensor | None = None
        for term in self.passes:
            hidden = prompt[term.prompt, None].to(weights.device, weights.dtype).expand(latent.shape[0], -1, -1)
            options = {"encoder_hidden_states": hidden, "return_dict": False}
            tokens = self._tokens(embedding, token_scales)
            output = call_adapted(
                self.unet, term.adapters, modulation, tokens, sample, self.rule.timestep, **options
            )[0].float()
            output = output if term.weight == 1.0 else term.weight * output
            prediction = output if prediction is None else prediction + output
        if prediction is None:
            raise ValueError("a model without passes predicts nothing")
        return self.rule.x0(latent, prediction)

    def _tokens(self, embedding: torch.Tensor | None, scales: TokenScales) -> AbstractContextManager[None]:
        if embedding is None or self.id_tokens is None:
            return nullcontext()
        return self.id_tokens.attached(self.unet, embedding, scales)

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
    new.requires_grad_(old.weight.requires_grad)
    new.load_state_dict({"weight": torch.cat([old.weight.detach(), padding], dim=1), "bias": old.bias.detach()})
    widened: Any = unet
    widened.conv_in = new
    widened.register_to_config(in_channels=in_channels)
