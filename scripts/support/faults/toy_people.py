"""A person, a picture of them, and models that take a reference and do something with it that can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from headsup_core.faces import Face, Licence
from headsup_core.faces.alignment import template
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions
from headsup_core.host import Host, PlainHost
from headsup_core.identity.identity import Identity
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.known_faces import IDFSRPainter
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork
from headsup_core.models.codecs.codec import Codec
from headsup_core.models.codecs.pixel_autoencoder import PixelAutoencoder
from headsup_core.models.record import ModelCard
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.pipeline import RestoreResult, restore

from .toy import toy_model

EMBEDDER = "three colours"
HEIGHT, WIDTH, SIDE = 44, 40, 36
"""Pixels of the picture, and of the square in it that is the face."""
TOY_IDFSR = IDFSRArchitecture(
    64, 8, (1, 2), (1, 2), 1, residuals=1, embedding=3, embedder=EMBEDDER, token_width=8, style=8, time=8, groups=4,
    steps=2, card=ModelCard("toy-idfsr", "MIT"),
)  # fmt: skip


class ReferenceUNet(nn.Module):
    """Goes from a latent half the way to its reference inside the face's mask; the same in any tiles."""

    def __init__(self) -> None:
        super().__init__()
        config: Any = SimpleNamespace(in_channels=7, out_channels=3, block_out_channels=(8, 8, 8, 8))
        self.config = config
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, sample: torch.Tensor, timestep: object, **others: object) -> tuple[torch.Tensor]:
        del timestep, others
        latent, reference, mask = sample.split([3, 3, 1], dim=1)
        return (self.weight * mask * (reference - latent),)


class OneFace(AnalyzerBase):
    """Finds the one face; its embedding is the mean colour of the picture there."""

    name, licence, embedder_id, needs = "one face", Licence("none", commercial_use=True), EMBEDDER, ""

    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        del options
        factor = picture.shape[-2] / HEIGHT
        return [Face((4 * factor, 4 * factor, SIDE * factor, SIDE * factor), _landmarks() * factor, 1.0)]

    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        return [torch.nn.functional.normalize(picture.mean((0, 2, 3)), dim=0) for _ in faces]


def _landmarks() -> torch.Tensor:
    return template("ffhq", SIDE) + 2


@dataclass(frozen=True, eq=False)
class Case:
    """A restoration of one picture `[1,3,h,w]` by one model, in words what it is."""

    name: str
    model: HeadsUpModel
    image: torch.Tensor
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def restored(self, host: Host | None = None) -> torch.Tensor:
        """The picture `[B,3,H,W]`."""
        return self.result(host).image

    def result(self, host: Host | None = None, **changes: Any) -> RestoreResult:  # noqa: ANN401 - options
        """The picture with what was done, with some options changed."""
        host = host or PlainHost("cpu", quiet=True)
        options: dict[str, Any] = {"scale": 4, "tile": 64, "overlap": 32, **self.options, **changes}
        return restore(self.image, self.model, analyzer=OneFace(), host=host, **options)


def plain_cases(seed: int) -> list[Case]:
    """Without people."""
    model, image = HeadsUpModel(toy_model()), _noise(seed, 24, 28)
    options: tuple[dict[str, Any], ...] = (
        {},
        {"color_fix": "wavelet", "strength": 0.7},
        {"color_fix": "lab", "sample_posterior": True, "tile_batch": 2},
    )
    return [Case(str(given), model, image, given) for given in options]


def people_cases(seed: int) -> list[Case]:
    """A face of a known person: told to the model in each way that there is, gated, in a colour picture, in a grey one
    and in frames of a video; and painted by IDFSR."""
    image = _noise(seed, HEIGHT, WIDTH)
    crop = torch.nn.functional.interpolate(_noise(seed + 1, 16, 16), (512, 512), mode="bilinear")
    (face,) = OneFace().embed(image, OneFace().detect(image))[0]
    assert face.embedding is not None  # noqa: S101 - it was embedded
    person = Identity("Ada", {EMBEDDER: face.embedding}, crop)
    warped, aligned = (_taking(placement).with_identities([person]) for placement in ("warped", "aligned"))
    painting = replace(warped, painter=IDFSRPainter(toy_idfsr()))
    half: dict[str, Any] = {"scale": 2, "tile": 72, "overlap": 24}
    return [
        Case("a warped reference, two calls", warped, image, half),
        Case("an upright reference, one call", aligned, image, {**half, "reference_call": "single"}),
        Case("a reference in a grey picture", warped, image.mean(1, keepdim=True).expand_as(image), half),
        Case("a reference in two frames", warped, image.repeat(2, 1, 1, 1), {**half, "frames": True}),
        Case("a face painted by IDFSR", painting, image[..., ::3, ::3], half),
    ]


def _noise(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _taking(placement: Any) -> HeadsUpModel:  # noqa: ANN401 - a literal of the record's
    """A model that takes references, whose latents are pixels."""
    unet: Any = ReferenceUNet().eval().requires_grad_(requires_grad=False)
    model = replace(toy_model(), codec=Codec(PixelAutoencoder()), unet=unet)
    return HeadsUpModel(replace(model, record=replace(model.record, reference_placement=placement)))


def toy_idfsr() -> IDFSRModel:
    """A network of random weights that takes two steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = IDFSRNetwork(TOY_IDFSR).eval().requires_grad_(requires_grad=False)
    return IDFSRModel(network, TOY_IDFSR)
