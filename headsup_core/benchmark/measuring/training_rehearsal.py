"""A rehearsal of a training at full size: its configuration on random weights and made-up portraits, for some steps.

It says what a training takes before anybody has the base, the data or the time: seconds, peak memory, and which part
takes them. Losses mean nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...errors import InputError
from ...faces.alignment import template
from ...faces.face import Face
from ...training.data.face_index import FaceIndex, IndexedPicture, write_index
from ...training.losses.differentiable_recognisers import MobileFaceNet
from ...training.restorer.restorer_config import RestorerConfig, read_config
from ...training.restorer.restorer_networks import AdaptedBase, RestorerNetworks
from ...training.restorer.restorer_samples import SourceConfig
from ...training.restorer.restorer_subject import RestorerSubject
from ...training.subject import Batch, Losses, Workplace
from ...training.trainer import Trainer
from .random_model import random_base
from .stopwatch import Part, Stopwatch

GIB = 2**30
EYES = 1 / 8
"""Eye distance of the made-up faces, of the side of the picture."""


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal took.

    Attributes:
        parts: by name, of all steps.
        losses: terms of the last step.
    """

    config: RestorerConfig
    parts: Mapping[str, Part]
    losses: Mapping[str, float]

    @property
    def peak(self) -> int:
        """Bytes."""
        return max(part.peak for part in self.parts.values())

    @property
    def seconds(self) -> float:
        """What one step takes."""
        return sum(part.seconds for name, part in self.parts.items() if name != BEGIN) / self.config.steps

    def table(self) -> str:
        """Markdown: the settings, a row a part, the sums."""
        config = self.config
        said = f"crop {config.crop} px, batch {config.batch} x {config.accumulate}, {config.steps} steps"
        said += f", gradient checkpointing {'on' if config.gradient_checkpointing else 'off'}"
        lines = [f"### Rehearsal: {said}", "", "| part | seconds a step | peak GiB |", "|---|---|---|"]
        for name, part in self.parts.items():
            seconds = part.seconds if name == BEGIN else part.seconds / config.steps
            lines.append(f"| {name} | {seconds:.2f} | {part.peak / GIB:.2f} |")
        lines.append(f"| **a step** | **{self.seconds:.2f}** | **{self.peak / GIB:.2f}** |")
        terms = ", ".join(f"{name} {value:.3g}" for name, value in self.losses.items())
        return "\n".join([*lines, "", f"Terms of the last step, of random weights: {terms}", ""])


BEGIN = "beginning (once)"
SAMPLES, FORWARD, BACKWARD = "samples", "losses", "backward"
COMPANIONS, OPTIMIZER = "critic and distillation's copy", "optimizer"


def rehearse(
    config: Path, steps: int, device: torch.device, overrides: Mapping[str, Any] | None = None, *, quarter: bool = False
) -> Rehearsal:
    """Train for some steps with the settings of a configuration of adapters.

    Args:
        overrides: in place of the file's top-level fields, as `{"crop": 512}`.
        quarter: a base of a quarter of the width, to try the rehearsal itself.

    Raises:
        InputError: a configuration of something else.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = read_config(config, overrides)
        if own.adapter is None:
            raise InputError(f"{config} trains no adapter: a rehearsal is of HeadsUp beside a diffusion model")
        changed = replace(
            own,
            sources=(_portraits(folder, own.crop),),
            base="random",
            init="",
            teacher="",
            tagger="",
            dape="",
            recognisers=(_recogniser(folder),) if own.loss.identity else (),
            lpips_backbone=_backbone(folder, own.lpips_net),
            steps=steps,
            workers=0,
            checkpoint_every=steps + 1,
            sample_every=steps + 1,
        )
        watch = Stopwatch(device)
        told: dict[str, float] = {}

        def subject(settings: RestorerConfig, place: Workplace) -> RestorerSubject:
            return _Watched(settings, place, watch, told, quarter=quarter)

        with watch.running():
            watch.turn_to(BEGIN)
            trainer = Trainer(subject, changed, folder / "run", device)
            watch.turn_to(SAMPLES)
            trainer.train()
        return Rehearsal(changed, watch.parts, told)


class _Watched(RestorerSubject):
    """A restorer on a random base that says which part runs."""

    def __init__(
        self, config: RestorerConfig, place: Workplace, watch: Stopwatch, told: dict[str, float], *, quarter: bool
    ) -> None:
        self._watch, self._told, self._quarter = watch, told, quarter
        super().__init__(config, place)
        base = self._parts.base
        if base is not None:
            networks: dict[str, Any] = {"UNet": base.unet, "encoder": base.vae.encoder, "decoder": base.vae.decoder}
            for name, network in {**networks, **self._objective.judges}.items():
                watch.watch(network, name)

    def _make_networks(self) -> RestorerNetworks:
        config = self.config
        if config.adapter is None:
            raise InputError("a rehearsal is of adapters")
        return AdaptedBase(config.adapter, random_base(quarter=self._quarter), config.crop)

    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        self._watch.turn_to(FORWARD)
        losses = super().losses(batch, step, chance)
        self._told |= {name: float(loss.detach()) for name, loss in losses.items()}
        self._watch.turn_to(BACKWARD)
        return losses

    def teach(self, chance: torch.Generator, share: float) -> dict[str, float]:
        self._watch.turn_to(COMPANIONS)
        found = super().teach(chance, share)
        self._told |= found
        self._watch.turn_to(OPTIMIZER)
        return found

    def sheet(self, averaged: torch.nn.Module) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """None: it would take longer than the steps."""
        del averaged


def _portraits(folder: Path, crop: int) -> SourceConfig:
    """Two made-up photos of one person, whose face fills much of a crop, and the index of them."""
    side = crop + crop // 4
    chance = np.random.default_rng(0)
    faces: list[IndexedPicture] = []
    scale = side * EYES / float((template("ffhq", 512)[1] - template("ffhq", 512)[0]).norm())
    landmarks = (template("ffhq", 512) - 256) * scale + side / 2
    for number in range(2):
        coarse = chance.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)
        path = folder / f"photo{number}.png"
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)
        face = Face((0.0, 0.0, float(side), float(side)), landmarks, 1.0, torch.ones(4))
        faces.append(IndexedPicture(path, side, side, (face,)))
    index = folder / "index.json"
    write_index(index, FaceIndex(tuple(faces), ((0, 0, 1, 0, 1.0),), "made up", 0.5, "cosine"))
    return SourceConfig(
        str(index), 1.0, longest_side=side, zoom=(1.0, 1.0), references="other_photo_or_none", whole_face=1.0,
        in_memory=False,
    )  # fmt: skip


def _recogniser(folder: Path) -> str:
    torch.save(MobileFaceNet().state_dict(), folder / "recogniser.pt")
    return str(folder / "recogniser.pt")


def _backbone(folder: Path, net: str) -> str:
    """Random weights of LPIPS' network."""
    from torchvision import models

    makers: dict[str, Any] = {
        "vgg": lambda: models.vgg16(weights=None, init_weights=False),
        "alex": lambda: models.alexnet(weights=None),
        "squeeze": lambda: models.squeezenet1_1(weights=None),
    }
    state: dict[str, torch.Tensor] = makers[net]().state_dict()
    features = {name: value for name, value in state.items() if name.startswith("features.")}
    torch.save(features, folder / f"{net}.pth")
    return str(folder / f"{net}.pth")
