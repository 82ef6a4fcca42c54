"""What describes a published system: a record, how its file is recognised, and how it is loaded beside a base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError, ModelFileError
from ...imaging.published import PublishedSizing
from ..bases.base import Base
from ..codecs.codec import Codec
from ..codecs.skip_convolutions import SkipConvolutions
from ..file_formats.weights_files import WeightsFile
from ..id_tokens import IdTokens
from ..lora.branches import Adapter, merge_into
from ..one_step import (
    ModelCard,
    NoReference,
    Observer,
    OneStepModel,
    Pass,
    ReferencePlacement,
    SizeRule,
    unet_in_channels,
    widen_conv_in,
)
from ..prediction import PredictionRule
from ..prompts import PromptSource

Options = Mapping[str, Any]


@dataclass(frozen=True)
class System:
    """One published system.

    Attributes:
        id: the name for `load_model(system=…)`.
        card: what people should know before using it.
        base: which base its weights were trained on; 2.1-base and SD-Turbo have the same shapes.
        color_fix: its default.
        options: load options by their published names, with defaults.
        companions: files that must lie beside the adapter.
        mergeable: whether the adapters may be added to the base's weights.
        recognises: whether a file's content is this system's.
        file_mark: part of the file's name that tells it from a system with the same content; "": none.
        load: file, base, complete options -> parts.
    """

    id: str
    card: ModelCard
    base: str
    color_fix: str
    recognises: Callable[[WeightsFile], bool]
    load: Callable[[WeightsFile, Base, Options], Parts]
    options: Options = field(default_factory=dict[str, Any])
    companions: tuple[str, ...] = ()
    mergeable: bool = True
    file_mark: str = ""

    def build(self, file: WeightsFile, base: Base, options: Options, *, merge: bool = False) -> OneStepModel:
        """The model of an adapter file over `base`.

        Args:
            options: overrides of the defaults, by published name.
            merge: add the adapters to the weights of `base`, which must have no other owner.

        Raises:
            InputError: an option that the system does not have, or `merge` where it cannot be.
            ModelFileError: a file that does not fit: which key, what was found and expected.
        """
        if unknown := sorted(set(options) - set(self.options)):
            known = ", ".join(f"{name} (default {value})" for name, value in self.options.items()) or "no options"
            raise InputError(f"{self.card.name} has no option {unknown[0]!r}; it has {known}")
        try:
            parts = self.load(file, base, {**self.options, **options})
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            raise ModelFileError(f"{file.path} is not a {self.card.name} file as published: {error!r}") from error
        passes, encoder = parts.passes, parts.encoder
        if merge:
            if not self.mergeable or len(passes) != 1:
                raise InputError(f"{self.card.name} cannot be merged with these options: load it without merge")
            _widen(base, passes[0].adapters)
            merge_into(base.unet, passes[0].adapters)
            merge_into(base.vae, encoder)
            passes, encoder = (Pass(passes[0].weight, (), passes[0].prompt),), ()
        codec = Codec(base.vae, encoder, parts.skips)
        levels = len(base.unet.config["block_out_channels"])
        multiple = codec.factor * 2 ** (levels - 1)
        return OneStepModel(
            codec=codec,
            unet=base.unet,
            rule=parts.rule,
            prompt=parts.prompt,
            size_rule=SizeRule(multiple, max(multiple, parts.minimum)),
            scale=parts.scale,
            trained_size=parts.trained_size,
            default_color_fix=self.color_fix if parts.color_fix is None else parts.color_fix,
            card=parts.card or self.card,
            no_reference=parts.no_reference,
            reference_placement=parts.reference_placement,
            passes=passes,
            observer=parts.observer,
            published=parts.published,
            aligned_face=parts.aligned_face,
            trained_eyes=parts.trained_eyes,
            system=self.id,
            base=parts.base or self.base,
            id_tokens=parts.id_tokens,
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """What a system's loader gives.

    Attributes:
        encoder, skips: beside the VAE's encoder, and from there to its decoder.
        minimum: the least side in pixels.
        aligned_face, trained_eyes: see `OneStepModel`.
        card, color_fix, base: of this file, where they are not the system's.
    """

    rule: PredictionRule
    prompt: PromptSource
    passes: tuple[Pass, ...]
    published: PublishedSizing | None
    encoder: tuple[Adapter, ...] = ()
    skips: SkipConvolutions | None = None
    observer: Observer | None = None
    scale: int = 4
    minimum: int = 0
    aligned_face: int = 0
    card: ModelCard | None = None
    color_fix: str | None = None
    base: str = ""
    trained_size: int = 512
    no_reference: NoReference = "zero_latent"
    reference_placement: ReferencePlacement = "aligned"
    trained_eyes: tuple[float, float] | None = None
    id_tokens: IdTokens | None = None


def _widen(base: Base, adapters: tuple[Adapter, ...]) -> None:
    """Give the base's conv_in the input channels of a trained one that takes a reference."""
    for adapter in adapters:
        trained = adapter.replacements().get("conv_in.weight")
        if trained is not None and trained.shape[1] > unet_in_channels(base.unet):
            widen_conv_in(base.unet, trained.shape[1])


def epsilon_at(base: Base, timestep: int) -> PredictionRule:
    """x0 from the predicted noise on the base's own schedule."""
    from ..prediction import Epsilon

    return Epsilon.at(timestep, base.betas, base.steps)


def number(options: Options, name: str, least: float, most: float) -> float:
    """A numeric option. Raises `InputError` when it is none, or out of its range."""
    value = options[name]
    if not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"option {name} is {value!r}: must be a number from {least:g} to {most:g}")
    return float(value)
