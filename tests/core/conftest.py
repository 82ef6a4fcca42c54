"""Small models for the core's tests: the real classes at toy width; `harness.stand_ins` for exact ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.stand_ins import ModelMaker
from harness.systems import WordStates, tiny_networks
from support.faults.toy import TOY_ARCHITECTURE

from headsup_core.models.bases.base import Base
from headsup_core.models.building import build_model
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.prediction import LatentResidual
from headsup_core.models.record import ModelCard, ModelRecord

torch.set_num_threads(1)  # toy networks: threads cost more than they give


@pytest.fixture(scope="session")
def toy_record() -> ModelRecord:
    card = ModelCard("toy", "MIT", "none", "for tests")
    return ModelRecord(card, LatentResidual(1), TOY_ARCHITECTURE, trained_size=32)


@pytest.fixture
def toy_model(toy_record: ModelRecord) -> OneStepModel:
    """The real classes with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(toy_record)
    for network in model.networks:
        network.eval().requires_grad_(False)
    return model


@pytest.fixture
def toy_file(toy_model: OneStepModel, tmp_path: Path) -> str:
    """That model's file."""
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model)
    return str(path)


@pytest.fixture(scope="session")
def make_model() -> ModelMaker:
    return ModelMaker()


@pytest.fixture(scope="session")
def tiny_base() -> tuple[Any, Any]:
    """UNet and VAE of Stable Diffusion's structure; nobody changes them."""
    return tiny_networks()


@pytest.fixture
def base(tiny_base: tuple[Any, Any]) -> Base:
    """A base whose text encoder is a formula."""
    return Base(Path("tiny"), *tiny_base, WordStates())


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """squeezenet1_1 with random weights: the code path of the real file; nobody changes it."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("backbone") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path
