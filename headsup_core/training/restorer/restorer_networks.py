"""The networks of a restorer that is trained: a whole self-contained model, or adapters beside a frozen base."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from ...errors import InputError, ModelFileError
from ...models.bases.base import Base, load_base
from ...models.building import build_model
from ...models.codecs.codec import Codec
from ...models.file_formats.headsup_adapter import CONV_IN, is_headsup_adapter, save_headsup_adapter
from ...models.file_formats.headsup_file import save_headsup
from ...models.file_formats.weights_files import read_weights
from ...models.load_options import NoOptions
from ...models.lora.branches import Adapter
from ...models.one_step import OneStepModel, Pass
from ...models.prediction import Epsilon, LatentResidual
from ...models.prompts import CachedPrompt, TextUse
from ...models.record import (
    TAGS_FIRST,
    AdaptedLayers,
    ModelCard,
    ModelRecord,
    NoReference,
    ReferencePlacement,
    eye_range,
)
from ...models.systems import headsup
from ..fresh_adapters import DEFAULT_ALPHA, ENCODER_LAYERS, UNET_LAYERS, fresh_adapter

log = logging.getLogger(__name__)


class RestorerNetworks(Protocol):
    """The trained networks, and the model around them."""

    @property
    def networks(self) -> nn.Module:
        """Everything that is trained; its state is what a checkpoint keeps."""
        ...

    @property
    def base(self) -> Base | None:
        """The frozen diffusion model, None for a model that is complete in itself."""
        ...

    def model(self, networks: nn.Module) -> OneStepModel:
        """The model with `networks`, which are `self.networks` or a copy of them."""
        ...

    def take_over(self, path: Path) -> None:
        """Start from the weights of a file that `export` wrote. Raises `ModelFileError` when they do not fit."""
        ...

    def export(self, path: Path, networks: nn.Module) -> None:
        """Write the model with `networks` as one file that `load_model` reads."""
        ...


class SelfContained:
    """headsup-tiny: codec, UNet and prompt embedding, all weights trained."""

    base: Base | None = None

    def __init__(self, record: ModelRecord) -> None:
        self._built = build_model(record)
        networks = nn.ModuleDict({"codec": self._built.codec.vae, "unet": self._built.unet})
        networks.register_parameter("prompt", nn.Parameter(self._built.prompt.embeddings(None)))
        for parameter in networks.get_submodule("unet.conv_out").parameters():
            nn.init.zeros_(parameter)  # with a zero residual the model gives back what its codec makes of the input
        self.networks: nn.Module = networks

    def model(self, networks: nn.Module) -> OneStepModel:
        parts: Any = networks
        prompt = CachedPrompt(networks.get_parameter("prompt"))
        return replace(self._built, codec=Codec(parts["codec"]), unet=parts["unet"], prompt=prompt)

    def take_over(self, path: Path) -> None:
        """The tensors of the same name and shape; others start anew."""
        own = self.networks.state_dict()
        content = with_a_further_level(read_weights(path).content, own)
        taken = {
            name: value.float() for name, value in content.items() if name in own and own[name].shape == value.shape
        }
        if not taken:
            raise ModelFileError(f"{path} shares no tensor with the networks that are to be trained")
        self.networks.load_state_dict(own | taken)
        new = sorted(set(own) - set(taken))
        log.info("took %d of %d tensors from %s; new: %s", len(taken), len(own), path, new)

    def export(self, path: Path, networks: nn.Module) -> None:
        save_headsup(path, self.model(networks))


@dataclass(frozen=True)
class AdapterConfig:
    """HeadsUp on Stable Diffusion 2.1 (arXiv 2510.09924, 3.1 and 4.1).

    Attributes:
        rank, alpha: of all branches.
        timestep: t of the one step.
        prompt: the text that stands behind a picture's tags, the text of pictures that have none, and the file's
            default.
        base: name of the base, for people.
        card: as in the file.
        scale, trained_eyes, minimum_side, margin, no_reference, reference_placement, default_color_fix: as in
            `ModelRecord`; they are stored in the file.
        trained_size: stored in the file; None: the side of the training crops.
        rule: how the prediction becomes x0, "epsilon" or "latent_residual" (`models.prediction`).
    """

    rank: int = 4
    alpha: float = DEFAULT_ALPHA
    timestep: int = 999
    prompt: str = ""
    base: str = "Stable Diffusion 2.1-base"
    card: ModelCard = field(default_factory=lambda: ModelCard("unnamed", "unknown"))
    scale: int = 4
    trained_size: int | None = None
    trained_eyes: tuple[float, float] | None = None
    minimum_side: int = 0
    margin: int = 0
    no_reference: NoReference = "zero_latent"
    reference_placement: ReferencePlacement = "aligned"
    default_color_fix: str = "adain"
    rule: Literal["epsilon", "latent_residual"] = "epsilon"

    def __post_init__(self) -> None:
        object.__setattr__(self, "trained_eyes", eye_range(self.trained_eyes))
        if self.rule not in ("epsilon", "latent_residual"):
            raise ValueError(f"adapter.rule is {self.rule!r}, expected epsilon or latent_residual")


STORED = (
    "base", "scale", "trained_eyes", "minimum_side", "margin", "no_reference", "reference_placement",
    "default_color_fix",
)  # fmt: skip
"""Settings of an adapter that stand in its file under their own name."""


class AdaptedBase:
    """HeadsUp: adapters on UNet and VAE encoder and a conv_in of 2C+1 channels; decoder and base are frozen."""

    def __init__(self, config: AdapterConfig, base: Path | Base, trained_size: int) -> None:
        self.base: Base = base if isinstance(base, Base) else load_base(base)
        for network in (self.base.unet, self.base.vae):
            network.eval().requires_grad_(False)
        self._prompt = CachedPrompt(self.base.text.encode(config.prompt))
        scale = config.alpha / config.rank
        unet = fresh_adapter(self.base.unet, UNET_LAYERS, config.rank, scale, replaced=_wide_conv_in(self.base))
        encoder = fresh_adapter(
            self.base.vae, ENCODER_LAYERS, config.rank, scale, within="encoder.", also=("quant_conv",)
        )
        self.networks: nn.Module = nn.ModuleDict({"unet": unet, "encoder": encoder})
        rule = LatentResidual(config.timestep) if config.rule == "latent_residual" else Epsilon(config.timestep)
        self._record = replace(
            headsup.RECORD,
            card=config.card,
            rule=rule.on_schedule(self.base.betas, self.base.steps),
            layers=AdaptedLayers(unet.paths, encoder.paths, config.rank, config.alpha),
            trained_size=config.trained_size or trained_size,
            prompt=TextUse(config.prompt, TAGS_FIRST),
            **{name: getattr(config, name) for name in STORED},
        )

    def model(self, networks: nn.Module) -> OneStepModel:
        unet, encoder = _adapters(networks)
        codec = Codec(self.base.vae, (encoder,))
        return OneStepModel(codec, self.base.unet, self._prompt, self._record, (Pass(1.0, (unet,)),))

    def take_over(self, path: Path) -> None:
        file = read_weights(path)
        if not is_headsup_adapter(file):
            raise ModelFileError(f"{path} is no HeadsUp adapter: stage 2 starts from the file that stage 1 exported")
        parts = headsup.load(file, self.base, NoOptions())
        found = nn.ModuleDict({"unet": parts.passes[0].adapters[0], "encoder": parts.encoder[0]})
        for own, given in zip(_adapters(self.networks), _adapters(found), strict=True):
            branches = dict(given.items())
            if set(branches) != set(own.paths):
                counts = f"{len(branches)}, here {len(own.paths)}"
                raise ModelFileError(f"{path} adapts other layers than this training ({counts}): another base?")
            ordered = Adapter({layer: branches[layer] for layer in own.paths}, given.replacements())
            try:
                own.load_state_dict(ordered.state_dict())
            except RuntimeError as error:
                raise ModelFileError(f"{path} does not fit this training: {str(error)[:300]}") from error

    def export(self, path: Path, networks: nn.Module) -> None:
        save_headsup_adapter(path, *_adapters(networks), self._record)


def with_a_further_level(content: Mapping[str, Any], own: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The tensors of a UNet under the names that they have in one with a further, coarser level.

    diffusers counts the blocks of the way up from the coarsest: theirs move on by one. A `content` of as many levels as
    `own` comes back as it is.
    """
    further = _levels(own) - _levels(content)
    if further <= 0:
        return dict(content)
    up = re.compile(r"unet\.up_blocks\.(\d+)\.")
    return {up.sub(lambda found: f"unet.up_blocks.{int(found[1]) + further}.", name): content[name] for name in content}


def _levels(content: Mapping[str, Any]) -> int:
    return len({name.split(".")[2] for name in content if name.startswith("unet.up_blocks.")})


def make_networks(
    architecture: ModelRecord | None, adapter: AdapterConfig | None, base: str, trained_size: int
) -> RestorerNetworks:
    """What a configuration trains.

    Raises:
        InputError: it names both kinds or none, or adapters without a base.
        ModelFileError: the base cannot be used.
    """
    if (architecture is None) == (adapter is None):
        raise InputError("a training needs an architecture (a whole model) or an adapter (beside a base), one of them")
    if architecture is not None:
        return SelfContained(architecture)
    if not base:
        raise InputError("an adapter is trained beside a base: set base to a diffusers folder or a checkpoint file")
    return AdaptedBase(adapter or AdapterConfig(), Path(base), trained_size)


def _adapters(networks: nn.Module) -> tuple[Adapter, Adapter]:
    unet, encoder = networks.get_submodule("unet"), networks.get_submodule("encoder")
    if not isinstance(unet, Adapter) or not isinstance(encoder, Adapter):
        raise TypeError("networks of an adapted base are adapters")
    return unet, encoder


def _wide_conv_in(base: Base) -> dict[str, torch.Tensor]:
    """conv_in for latent, reference latent and mask: old filters and bias copied, new channels zero (HeadsUp 3.3)."""
    weight, bias = (base.unet.get_parameter(name).detach() for name in CONV_IN)
    channels: int = base.vae.config["latent_channels"]
    padding = weight.new_zeros(weight.shape[0], channels + 1, *weight.shape[2:])
    return dict(zip(CONV_IN, (torch.cat([weight, padding], dim=1), bias.clone()), strict=True))
