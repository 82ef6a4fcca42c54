"""A one-step restorer as a subject of the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ...errors import InputError
from ...host import PlainHost
from ...models.one_step import OneStepModel
from ...models.prompts import TextPrompt, TextUse
from ...models.record import TAGS_FIRST
from ...models.tagging.tagger import load_tagger
from ..activation_checkpointing import checkpoint_activations
from ..data.landmark_teacher import LandmarkTeacher
from ..losses.companions import Companion, Restoration
from ..subject import Batch, Losses, Subject, Workplace
from .objective import Objective, Prompts, restore
from .picture_texts import PictureTexts, states_of
from .restorer_config import RestorerConfig
from .restorer_networks import RestorerNetworks, make_networks
from .restorer_samples import CropSource, RestorationDataset

SHOWN = 6
"""Crops on a sample sheet."""
SHEET_SEED = 12345


class RestorerSubject(Subject):
    """HeadsUp: a whole model, or adapters beside a base, by what the configuration names.

    Raises:
        InputError: the configuration names both kinds or none, or a loss without what it needs.
        ModelFileError: a network's file cannot be used.
    """

    def __init__(self, config: RestorerConfig, place: Workplace) -> None:
        self.config, self._place = config, place
        self._parts = self._make_networks()
        self.networks = self._parts.networks
        self._prepare_base()
        self._objective = Objective(config, self._parts.base, place.processes)
        self._sources: Sequence[CropSource] | None = None
        self._restored: Restoration | None = None
        self._holds_text = False
        if (config.tagger or config.dape) and config.adapter is None:
            raise InputError("tagger: this model reads no text, leave it out")
        if config.dape and not config.tagger:
            raise InputError("dape goes over a tagger's file: name the tagger, too")

    def _make_networks(self) -> RestorerNetworks:
        """What the configuration trains."""
        config = self.config
        return make_networks(config.architecture, config.adapter, config.base, config.crop)

    @cached_property
    def model(self) -> OneStepModel:
        """The model that is trained."""
        model = self._parts.model(self.networks)
        if self.config.gradient_checkpointing:  # only now: the averaged copy of the networks is without it
            checkpoint_activations(model.unet)
        return model

    def averaged_model(self, averaged: nn.Module) -> OneStepModel:
        """The model with a copy of the networks: what is shipped."""
        return self._parts.model(averaged)

    @property
    def learners(self) -> Mapping[str, Companion]:
        return self._objective.companions

    def begin(self) -> None:
        if self.config.init:
            self._parts.take_over(Path(self.config.init))

    def samples(self, length: int) -> Dataset[Batch]:
        config = self.config
        return self._dataset(self._opened(), config.crop, length, config.seed, config.reference_drop)

    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        prompts = self._prompts(batch)
        losses, self._restored = self._objective.losses(self.model, batch, step, chance, prompts)
        return losses

    def teach(self, chance: torch.Generator, share: float) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._restored is None:
            return found
        for name, companion in self._objective.companions.items():
            own = companion.gather(self._restored, chance, self._place.processes, share)
            found |= {} if own is None else {f"{name}_own": own}
        return found

    def sheet(self, averaged: nn.Module) -> torch.Tensor:
        """Rows of (enlarged input | restored | with reference | reference | true), always the same crops."""
        model = self.averaged_model(averaged)
        dataset = self._dataset(self._opened()[:1], self.config.sample_side, SHOWN, SHEET_SEED)
        rows: list[torch.Tensor] = []
        for sample in (dataset[index] for index in range(SHOWN)):
            batch = {name: part[None].to(self._place.device) for name, part in sample.items()}
            without = batch | {"has_reference": torch.zeros(1, device=self._place.device)}
            with self._place.processes.autocast():
                prompts = self._prompts(batch)
                told = None if prompts is None else prompts.bad
                pictures = [restore(model, each, told).picture[0] for each in (without, batch)]
            shown = [picture.cpu().clamp(0, 1) for picture in pictures]
            rows.append(torch.cat([sample["bad"], *shown, sample["reference"], sample["good"]], dim=2))
        return torch.cat(rows, dim=1)[None]

    def export(self, path: Path, averaged: nn.Module) -> None:
        """One file that `load_model` reads."""
        self._parts.export(path, averaged)

    def _prepare_base(self) -> None:
        base = self._parts.base
        if base is None:
            return
        networks: list[Any] = [base.unet, base.vae]  # diffusers types `to` as if it took itself
        for network in networks:
            network.to(self._place.device)
        if self.config.gradient_checkpointing:
            checkpoint_activations(base.vae)

    def _prompts(self, batch: Batch) -> Prompts | None:
        """The prompts of a batch's samples; None when no text belongs to any of them."""
        base, adapter = self._parts.base, self.config.adapter
        if base is None or adapter is None:
            return None
        sources = self._opened()
        places: list[list[int]] = batch["place"].tolist()
        texts = [self._texts.of(sources[source].file(picture)) for source, picture in places]
        if not any(each.good or each.bad for each in texts):
            return None
        if not self._holds_text:  # from here on every sample may have another text
            base.text.hold(self._place.device)
            self._holds_text = True
        compose = TextPrompt(base.text, TextUse(adapter.prompt, TAGS_FIRST)).compose
        bad = [compose(adapter.prompt, each.bad or None) for each in texts]
        good = [each.good or adapter.prompt for each in texts]  # OSEDiff's: the tags alone
        device = self._place.device
        return Prompts(states_of(bad, base.text.encode, device), states_of(good, base.text.encode, device))

    @cached_property
    def _texts(self) -> PictureTexts:
        """Made when the first sample is there."""
        config, place = self.config, self._place
        ram = load_tagger(Path(config.tagger)) if config.tagger else None
        dape = load_tagger(Path(config.tagger), Path(config.dape)) if config.tagger and config.dape else None
        commonest = max(config.degradations, key=lambda name: config.degradations[name])
        host = PlainHost(place.device, quiet=True)
        return PictureTexts(place.folder, ram, dape, commonest, host, place.processes.index)

    def _opened(self) -> Sequence[CropSource]:
        """The sources, whose pictures are read once, when they are first asked for."""
        if self._sources is None:
            teacher = LandmarkTeacher(Path(self.config.teacher)) if self.config.teacher else None
            everyone = None if teacher is None else teacher.everyone
            self._sources = [CropSource(source, teacher, everyone) for source in self.config.sources]
        return self._sources

    def _dataset(
        self, sources: Sequence[CropSource], size: int, length: int, seed: int, reference_drop: float = 0.0
    ) -> RestorationDataset:
        placement = self.model.reference_placement
        return RestorationDataset(sources, self.config.degradations, size, length, seed, reference_drop, placement)
