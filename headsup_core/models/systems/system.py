"""What describes a published system: a record, its options, how its file is recognised, and how it is loaded.

A system is one file in this folder, which declares it in `SYSTEMS`. Everything else (the inputs of the node, the flags
of the command line, the list of systems in messages and help) is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError, ModelFileError
from ..bases.base import Base
from ..codecs.codec import Codec
from ..codecs.skip_convolutions import SkipConvolutions
from ..file_formats.weights_files import WeightsFile
from ..load_options import NoOptions, choose_options
from ..lora.branches import Adapter, merge_into
from ..one_step import Observer, OneStepModel, Pass, unet_in_channels, widen_conv_in
from ..prompts import PromptSource, TextPrompt, TextUse
from ..record import ModelRecord


@dataclass(frozen=True)
class System:
    """One published system.

    Attributes:
        record: what is known of it before a file is read; `record.system` is the name for `load_model(system=…)`.
        recognises: whether a file's content is this system's.
        load: file, base, chosen options -> what goes beside the base's networks.
        options: a frozen dataclass of `option_fields.option`s, named as the system's authors name them.
        companions: files that must lie beside the adapter.
        mergeable: whether the adapters may be added to the base's weights.
        file_mark: part of the file's name that tells it from a system with the same content; "": none.
    """

    record: ModelRecord
    recognises: Callable[[WeightsFile], bool]
    load: Callable[[WeightsFile, Base, Any], Beside]
    options: type = NoOptions
    companions: tuple[str, ...] = ()
    mergeable: bool = True
    file_mark: str = ""

    @property
    def id(self) -> str:
        return self.record.system

    @property
    def name(self) -> str:
        """What people call it."""
        return self.record.card.name

    def build(
        self, file: WeightsFile, base: Base, options: Mapping[str, Any], *, merge: bool = False
    ) -> OneStepModel:
        """The model of an adapter file over `base`.

        Args:
            options: values of the declared options by name; others have their defaults.
            merge: add the adapters to the weights of `base`, which must have no other owner.

        Raises:
            InputError: an option that the system does not have, a value out of its range, or `merge` where it cannot
                be.
            ModelFileError: a file that does not fit: which key, what was found and expected.
        """
        chosen = choose_options(self.options, options, self.name)
        try:
            beside = self.load(file, base, chosen)
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            raise ModelFileError(f"{file.path} is not a {self.name} file as published: {error!r}") from error
        if merge:
            beside = self._merged(beside, base)
        record = beside.record
        return OneStepModel(
            codec=Codec(base.vae, beside.encoder, beside.skips),
            unet=base.unet,
            prompt=beside.prompt or TextPrompt(base.text, record.prompt or TextUse()),
            record=replace(record, rule=record.rule.on_schedule(base.betas, base.steps)),
            passes=beside.passes,
            observer=beside.observer,
        )

    def _merged(self, beside: Beside, base: Base) -> Beside:
        passes = beside.passes
        if not self.mergeable or len(passes) != 1:
            raise InputError(f"{self.name} cannot be merged with these options: load it without merge")
        _widen(base, passes[0].adapters)
        merge_into(base.unet, passes[0].adapters)
        merge_into(base.vae, beside.encoder)
        return replace(beside, passes=(Pass(passes[0].weight, (), passes[0].prompt),), encoder=())


@dataclass(frozen=True, eq=False)
class Beside:
    """What a system's loader puts beside the networks of a base.

    Attributes:
        record: the system's, with what this file and these options change.
        passes: the UNet calls, each with its adapters.
        encoder, skips: beside the VAE's encoder, and from there to its decoder.
        observer: reads conditions off the whole picture.
        prompt: where the UNet's text condition comes from; None: the base's text encoder, as the record says.
    """

    record: ModelRecord
    passes: tuple[Pass, ...]
    encoder: tuple[Adapter, ...] = ()
    skips: SkipConvolutions | None = None
    observer: Observer | None = None
    prompt: PromptSource | None = None


def _widen(base: Base, adapters: tuple[Adapter, ...]) -> None:
    """Give the base's conv_in the input channels of a trained one that takes a reference."""
    for adapter in adapters:
        trained = adapter.replacements().get("conv_in.weight")
        if trained is not None and trained.shape[1] > unet_in_channels(base.unet):
            widen_conv_in(base.unet, trained.shape[1])
