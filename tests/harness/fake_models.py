"""Models at full size whose weights take no memory, and pictures for them: what a fake device is asked to restore."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import headsup_core as hu
from headsup_core.faces import Faces
from headsup_core.idfsr.idfsr_file import load_idfsr
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.models.bases.base import SD2_UNET, SD_VAE
from headsup_core.models.codecs.codec import Codec
from headsup_core.models.lora.branches import Adapter, LowRankBranch
from headsup_core.models.one_step import OneStepModel, Pass
from headsup_core.models.prediction import Epsilon
from headsup_core.models.prompts import CachedPrompt
from headsup_core.models.record import ModelCard, ModelRecord
from headsup_core.models.systems import osdface
from headsup_core.models.systems.visual_prompt import TOKENS, Projection, VisualDictionary, VisualPrompt
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.plan.calibration import Calibration
from headsup_core.restoring.plan.upscale_plan import UpscalePlan, plan_upscale
from headsup_core.restoring.session import Session

from .faces import face_at
from .fake_device import FakeDevice, FakeHost, without_values
from .osdface import dictionary_tensors
from .people_stubs import RED, ColourAnalyzer, person
from .systems import SUFFIXES, matching

HALVINGS = ((64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512))
"""Widths of the visual dictionary's encoder, which halves five times, to 16 x 16 places of 512 values, as OSDFace's."""
ENTRIES, FEATURE = 1024, 512


@dataclass(frozen=True, eq=False)
class Scene:
    """What is restored, and how."""

    model: HeadsUpModel
    picture: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    faces: Faces | None = None
    analyzer: ColourAnalyzer | None = None

    def plan(self, host: FakeHost, calibration: Calibration | None) -> UpscalePlan:
        shape = (len(self.picture), *self.picture.shape[-2:])
        session = Session(self.model, hu.RestoreOptions(**self.options), host)
        return plan_upscale(shape, session, self.faces, calibration)

    def restore(self, host: FakeHost) -> hu.RestoreResult:
        others: dict[str, Any] = {"faces": self.faces, "analyzer": self.analyzer, "host": host}
        return hu.restore(self.picture, self.model, **others, **self.options)


def headsup_tiny(device: FakeDevice, dtype: torch.dtype) -> HeadsUpModel:
    del device
    return hu.load_model("headsup-tiny", host=hu.PlainHost("cpu"), dtype=str(dtype).removeprefix("torch."))


def sd21(device: FakeDevice, dtype: torch.dtype, adapters: int = 0, inputs: int = 4) -> HeadsUpModel:
    """Stable Diffusion 2.1's networks. `adapters`: their rank, beside the UNet and the encoder; `inputs`: channels."""
    unet, vae = _networks(device, dtype)
    branches = [_adapter(unet, matching(unet, SUFFIXES), adapters, dtype, device, inputs)] if adapters else []
    encoder = [_adapter(vae, matching(vae, SUFFIXES, "encoder."), adapters, dtype, device)] if adapters else []
    record = ModelRecord(
        ModelCard("SD-2.1-shaped", "none"), Epsilon(999), minimum_side=512, default_color_fix="adain", trained_size=512
    )
    prompt = CachedPrompt(torch.zeros(1, 77, SD2_UNET["cross_attention_dim"]))
    codec = Codec(vae, tuple(encoder))
    return HeadsUpModel(OneStepModel(codec, unet, prompt, record, (Pass(1.0, tuple(branches)),)))


def osdface_model(device: FakeDevice, dtype: torch.dtype) -> HeadsUpModel:
    """OSDFace at the size of its files; the widths of its dictionary's first levels are a guess."""
    unet, vae = _networks(device, dtype)
    tensors = {f"vqvae_LQ.{name}": one for name, one in dictionary_tensors(HALVINGS, ENTRIES, FEATURE).items()}
    width = SD2_UNET["cross_attention_dim"]
    projection = {"conv1.weight": torch.zeros(256, FEATURE, 1), "conv1.bias": torch.zeros(256)}
    projection |= {"conv2.weight": torch.zeros(width, 256, 1), "conv2.bias": torch.zeros(width)}
    dictionary = VisualDictionary(tensors, Path("dictionary"))
    observer = VisualPrompt(dictionary, Projection(projection, width, Path("projection")))
    adapter = _adapter(unet, matching(unet, SUFFIXES), 16, dtype, device)
    prompt = CachedPrompt(torch.zeros(1, TOKENS, width))
    observer.eval().requires_grad_(False)
    return HeadsUpModel(OneStepModel(Codec(vae), unet, prompt, osdface.RECORD, (Pass(1.0, (adapter,)),), observer))


def idfsr_model(dtype: torch.dtype) -> IDFSRModel:
    """The model that comes with the pack."""
    return load_idfsr(dtype=dtype)


def grey(side: int) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4


def known(model: HeadsUpModel, side: int, scale: int, *places: float, **options: Any) -> Scene:
    """Pictures of people, each at one of `places` along the diagonal, 0 to 1."""
    shown = [face_at(side * place, side * place, side / 16) for place in places]
    people = [person(f"person {place}", RED) for place in places]
    named = tuple(replace(face, identity=one.name) for face, one in zip(shown, people, strict=True))
    faces = Faces((named,), side, side)
    told = model.with_identities(people)
    return Scene(told, grey(side), {"scale": scale, **options}, faces, ColourAnalyzer(shown))


def _networks(device: FakeDevice, dtype: torch.dtype) -> tuple[Any, Any]:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD2_UNET), AutoencoderKL(**SD_VAE)
    return without_values(unet, device, dtype), without_values(vae, device, dtype)


def _adapter(
    network: nn.Module, paths: list[str], rank: int, dtype: torch.dtype, device: FakeDevice, inputs: int | None = None
) -> Adapter:
    found: dict[str, LowRankBranch] = {}
    replaced: dict[str, torch.Tensor] = {}
    with torch.device("meta"):
        for path in paths:
            weight: Any = network.get_submodule(path).weight
            out, into, *kernel = weight.shape
            ones = [1] * len(kernel)
            found[path] = LowRankBranch(torch.empty(rank, into, *kernel), torch.empty(out, rank, *ones), 1.0)
        if inputs:
            replaced["conv_in.weight"] = torch.empty(network.config["block_out_channels"][0], inputs, 3, 3)
    adapter = Adapter(found, replaced)
    without_values(adapter, device, dtype)
    return adapter


Making = Callable[[FakeDevice, torch.dtype], Scene]
SCENES: dict[str, Making] = {
    "headsup-tiny, tiles, people": lambda device, dtype: known(
        headsup_tiny(device, dtype), 256, 4, 0.25, 0.5, tile=512
    ),
    "headsup-tiny, 2048 px": lambda device, dtype: Scene(headsup_tiny(device, dtype), grey(512), {"scale": 4}),
    "SD 2.1, one tile": lambda device, dtype: Scene(sd21(device, dtype), grey(128), {"scale": 4}),
    "SD 2.1, parts and tiles": lambda device, dtype: Scene(
        sd21(device, dtype), grey(384), {"scale": 4, "tile_batch": 4}
    ),
    "SD 2.1, 2048 px": lambda device, dtype: Scene(sd21(device, dtype), grey(512), {"scale": 4}),
    "SD 2.1, adapters, a person": lambda device, dtype: known(sd21(device, dtype, 4, 9), 128, 4, 0.5),
    "OSDFace": lambda device, dtype: Scene(
        osdface_model(device, dtype), grey(1024), {"scale": 1}, Faces(((face_at(400, 500, 150),),), 1024, 1024)
    ),
}
