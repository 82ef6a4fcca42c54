"""Fitting what a one-step model takes of a person: its reference, the embedding of its identity tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.cancelling import CancellingHost
from harness.faces import face_at
from harness.stand_ins import ModelMaker
from torch import nn

from headsup_core.errors import InputError
from headsup_core.faces.alignment import FFHQ_512
from headsup_core.identity import load_identity, save_identity
from headsup_core.identity.fitted import fitted_embedding, fitted_key, fitted_reference
from headsup_core.identity.identity import Identity
from headsup_core.imaging.resizing import resize
from headsup_core.models.architecture import Architecture
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.id_tokens import IdTokenRecord, IdTokens
from headsup_core.models.loading import load_model
from headsup_core.models.one_step import OneStepModel
from headsup_core.personalize import FaceLoss, FittingOptions, fit_identity
from headsup_core.personalize.degraded_copies import draw_copies
from headsup_core.restoring.people.conditions import known_face

OPTIONS = FittingOptions(
    steps=6, learning_rate=0.5, batch=2, check_every=2, patience=10, degradations=("x4-mild", "x8"), save_every=3
)
FACE = face_at(24, 24, 14)


@pytest.fixture
def model(toy_model: OneStepModel) -> OneStepModel:
    """Takes a reference, laid onto the face."""
    return replace(toy_model, reference_placement="warped", model_id="toy-1")


@pytest.fixture
def with_tokens(model: OneStepModel) -> OneStepModel:
    """Takes an embedding, too."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tokens = IdTokens.beside(model.unet, IdTokenRecord("ours", 6, 2))
        for layer in tokens.values:
            nn.init.normal_(layer.get_parameter("weight"), std=0.5)
    return replace(model, id_tokens=tokens.requires_grad_(False))


def person(photos: int) -> Identity:
    generator = torch.Generator().manual_seed(photos)
    coarse = torch.rand(max(photos, 1), 3, 16, 16, generator=generator)
    vector = torch.randn(6, generator=generator)
    return Identity("Ada", {"ours": F.normalize(vector, dim=0)}, resize(coarse, 512, 512)[:photos])


class Copying(nn.Module):
    """A UNet whose prediction, as a residual, makes the reference of what lies under the mask."""

    def __init__(self) -> None:
        super().__init__()
        config: Any = SimpleNamespace(in_channels=97, out_channels=48, block_out_channels=(8, 8))
        self.config = config
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, sample: torch.Tensor, timestep: int, **_: object) -> tuple[torch.Tensor]:
        latent, reference, mask = sample.split([48, 48, 1], dim=1)
        return (self.weight * mask * (latent - reference),)


class Cancelled(BaseException):
    """As ComfyUI's, no `Exception` of ours."""


@pytest.fixture
def copying(make_model: ModelMaker) -> OneStepModel:
    unet: Any = Copying()
    return replace(make_model(factor=4).one_step, unet=unet, reference_placement="warped", model_id="toy-1")


def gainful() -> Identity:
    """The best photo is like none of the others: what pleases them pleases the one that is held out."""
    identity = person(3)
    identity.crops[:] = torch.tensor([0.2, 0.6, 0.6]).view(3, 1, 1, 1)
    return identity


def test_the_reference_is_fitted_and_the_held_out_photo_gains(copying: OneStepModel) -> None:
    model, identity = copying, gainful()
    before = [weight.clone() for network in model.networks for weight in network.parameters()]
    fitted = fit_identity(identity, model, replace(OPTIONS, steps=20, check_every=10))
    held = dict(fitted.held_out)
    assert held[fitted.best_step] == min(held.values()) < held[0] / 2
    after = [weight for network in model.networks for weight in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert list(fitted.identity.fitted) == [fitted_key("toy-1", "reference")]
    reference = fitted_reference(fitted.identity, "toy-1")
    assert reference is not None
    assert not torch.equal(reference, identity.crops[:1])
    assert 0.3 < float(reference[0, :, 200:300, 200:300].mean()) < 0.6  # between its own photo and the other
    assert torch.equal(fitted.identity.crops, identity.crops)


def test_the_fitted_reference_is_used_by_its_model_alone(copying: OneStepModel) -> None:
    model, identity = copying, fit_identity(gainful(), copying, OPTIONS).identity
    told = known_face(FACE, identity, model, None)
    assert told.crop is not None
    assert torch.equal(told.crop[0], identity.fitted[fitted_key("toy-1", "reference")])
    assert told.by == "fitted reference"
    other = known_face(FACE, identity, replace(model, model_id="toy-2"), None)
    assert other.crop is not None
    assert torch.equal(other.crop, identity.crops[:1])
    assert other.by == "reference"
    wrong = replace(identity, fitted={fitted_key("toy-1", "reference"): torch.zeros(3, 8, 8)})
    with pytest.raises(InputError, match=r"fitted reference of \(3, 8, 8\)"):
        known_face(FACE, wrong, model, None)


@pytest.fixture
def any_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of random weights gain little by whatever they are told."""
    monkeypatch.setattr("headsup_core.personalize.one_step.LEAST_GAIN", -1.0)


def test_a_gain_too_small_is_left(copying: OneStepModel, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fit_identity(gainful(), copying, OPTIONS)
    held = dict(fitted.held_out)
    gain = 1 - held[fitted.best_step] / held[0]
    monkeypatch.setattr("headsup_core.personalize.one_step.LEAST_GAIN", gain * 1.01)
    left = fit_identity(gainful(), copying, OPTIONS)
    assert left.losses == fitted.losses
    assert left.best_step == 0
    assert left.identity.fitted == {}


@pytest.mark.usefixtures("any_gain")
def test_embedding_and_reference_are_fitted_together(with_tokens: OneStepModel) -> None:
    identity = person(1)
    fitted = fit_identity(identity, with_tokens, OPTIONS).identity
    vector = fitted_embedding(fitted, "toy-1")
    assert vector is not None
    assert float(vector.norm()) == pytest.approx(1, abs=1e-5)
    assert 0.1 < float(vector @ identity.embeddings["ours"]) < 0.999
    told = known_face(FACE, fitted, with_tokens, None)
    assert told.embedding is not None
    assert torch.equal(told.embedding[0], vector)
    assert told.by == "fitted reference and identity tokens"
    with pytest.raises(InputError, match="toy needs ours"):
        fit_identity(replace(identity, embeddings={"arcface": torch.ones(4) / 2}), with_tokens, OPTIONS)


@pytest.mark.usefixtures("any_gain")
@pytest.mark.parametrize("photos", [1, 2])
def test_a_cancelled_fitting_goes_on_exactly(photos: int, model: OneStepModel, tmp_path: Path) -> None:
    state = tmp_path / "temp" / "state"
    whole = fit_identity(person(photos), model, OPTIONS)
    with pytest.raises(Cancelled):
        fit_identity(person(photos), model, OPTIONS, CancellingHost(5, Cancelled), state=state)
    assert len(torch.load(state, weights_only=True)["losses"]) == 5  # to the step, not only as often as it saves
    resumed = fit_identity(person(photos), model, OPTIONS, state=state)
    assert resumed.losses == whole.losses
    assert resumed.held_out == whole.held_out
    assert resumed.identity.fitted.keys() == whole.identity.fitted.keys()
    for key, value in resumed.identity.fitted.items():
        assert torch.equal(value, whole.identity.fitted[key])
    assert not state.exists()


def test_it_runs_under_inference_mode_on_weights_loaded_there(
    toy_model: OneStepModel, architecture: Architecture, tmp_path: Path
) -> None:
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model, architecture, torch.float32)
    with torch.inference_mode():
        model = load_model(path).one_step
        assert next(model.unet.parameters()).is_inference()
        inside = fit_identity(person(1), model, OPTIONS)
    outside = fit_identity(person(1), load_model(path).one_step, OPTIONS)
    assert inside.losses == outside.losses
    assert len(set(inside.losses)) > 1


@pytest.mark.parametrize("photos", [1, 2])  # of one photo the mirrored one is held out
def test_without_a_gain_for_the_held_out_photo_everything_stays(photos: int, model: OneStepModel) -> None:
    identity = person(photos)
    options = replace(OPTIONS, steps=50, learning_rate=500.0, check_every=1, patience=2)
    fitted = fit_identity(identity, model, options)
    assert fitted.best_step == 0
    assert len(fitted.losses) == 2
    assert fitted.identity.fitted == {}
    assert "no step was clearly better: the start was taken" in fitted.summary()


def test_a_fitted_reference_is_kept_in_the_identitys_file(copying: OneStepModel, tmp_path: Path) -> None:
    fitted = fit_identity(gainful(), copying, OPTIONS).identity
    plain, path = save_identity(tmp_path, gainful(), "plain"), save_identity(tmp_path, fitted)
    assert path.stat().st_size - plain.stat().st_size < 1_600_000
    key = fitted_key("toy-1", "reference")
    assert torch.equal(load_identity(path).fitted[key], fitted.fitted[key])


def test_a_models_id_is_of_its_weights(toy_model: OneStepModel, architecture: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model, architecture)
    first = load_model(path).one_step.model_id
    assert first.startswith("toy-")
    assert load_model(path, dtype="bfloat16").one_step.model_id == first
    next(toy_model.unet.parameters()).data.add_(1)
    save_headsup(path, toy_model, architecture)
    assert load_model(path).one_step.model_id != first


def test_copies_show_the_landmarks_where_they_are() -> None:
    photo = torch.zeros(1, 3, 512, 512)
    for x, y in FFHQ_512.round().int().tolist():
        photo[..., y - 6 : y + 7, x - 6 : x + 7] = 1
    copies = draw_copies(photo, 128, ("x4-mild",), 3, (0,), bend=False)
    assert copies.bad.shape == copies.good.shape == (3, 3, 128, 128)
    assert not torch.equal(copies.landmarks[0], copies.landmarks[1])
    for good, points in zip(copies.good, copies.landmarks, strict=True):
        assert all(good[0, round(y), round(x)] > 0.9 for x, y in points.tolist())
        assert good[0].mean() < 0.1
    again = draw_copies(photo, 128, ("x4-mild",), 3, (0,), bend=False)
    assert torch.equal(again.bad, copies.bad)
    bent = draw_copies(photo, 128, ("x4-mild",), 3, (0,), bend=True)
    assert 0.001 < float((bent.good - copies.good).abs().mean()) < 0.1


def test_the_loss_has_the_terms_that_there_are_networks_for() -> None:
    a, b = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).split(1)
    points = ((FFHQ_512 + 0.5) / 8 - 0.5)[None]
    alone = FaceLoss()(a, b, points)
    assert float(alone) == pytest.approx(4 * float(F.mse_loss(a, b)), rel=0.01)
    lpips = FaceLoss(lpips=lambda x, y: torch.tensor(0.5))
    assert float(lpips(a, b, points) - alone) == pytest.approx(0.4, abs=1e-6)
    embed = FaceLoss(embed=lambda faces: faces.mean((2, 3)) - 0.5)
    assert float(embed(a, a, points)) == pytest.approx(0, abs=1e-5)
    assert float(embed(a, b, points)) > float(alone)
    assert FaceLoss(lpips.lpips, embed.embed).terms == "squared error, LPIPS, identity"


def test_wrong_use_is_named(model: OneStepModel) -> None:
    with pytest.raises(InputError, match="identity 'Ada' holds no photos"):
        fit_identity(person(0), model, OPTIONS)
    with pytest.raises(InputError, match="degradation 'fog' is unknown"):
        FittingOptions(degradations=("fog",))
    with pytest.raises(InputError, match="at least one"):
        FittingOptions(degradations=())


def test_a_model_that_takes_nothing_of_a_person_is_refused(architecture: Architecture) -> None:
    plain = replace(architecture, unet={**architecture.unet, "in_channels": 4}).build()
    with pytest.raises(InputError, match="takes neither reference nor identity tokens"):
        fit_identity(person(1), plain, OPTIONS)
