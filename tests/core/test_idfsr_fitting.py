"""Fitting an identity's embedding to photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.cancelling import CancellingHost
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.identity import load_identity, save_identity
from headsup_core.identity.identity import Identity
from headsup_core.idfsr.identity_fitting import Fitted, FittingOptions, fit_identity, loss_curve
from headsup_core.idfsr.identity_fitting.fitting_examples import FittingExamples
from headsup_core.idfsr.identity_fitting.fitting_task import IDFSRTask
from headsup_core.idfsr.identity_vector import identity_vector
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork

SMALL = IDFSRArchitecture(
    16, 8, (1, 2), (1, 2), 1, residuals=1, embedding=6, embedder="ours", token_width=8, style=8, time=8, groups=4
)
OPTIONS = FittingOptions(steps=12, batch=2, scales=(4,), check_every=4, patience=10, save_every=4)


def small_model() -> IDFSRModel:
    network = IDFSRNetwork(SMALL).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return IDFSRModel(network, SMALL, "small-1")


def person(photos: int) -> Identity:
    generator = torch.Generator().manual_seed(photos)
    crops = torch.rand(photos, 3, 512, 512, generator=generator)
    vector = torch.randn(6, generator=generator)
    return Identity("Ada", {"ours": vector / vector.norm()}, crops)


def vector_of(fitted: Fitted) -> torch.Tensor:
    """What restoring takes: the fitted embedding, or the plain one when nothing was stored."""
    return identity_vector(fitted.identity, small_model())


def test_only_the_embedding_learns_and_the_held_out_photo_gains() -> None:
    model, identity = small_model(), person(3)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    fitted = fit_identity(identity, model, replace(OPTIONS, steps=60, learning_rate=0.2, check_every=10))
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert not identity.fitted
    vector = fitted.identity.fitted["small-1"]
    assert vector.shape == (6,)
    assert not torch.equal(vector, identity.embeddings["ours"])
    assert torch.equal(fitted.identity.embeddings["ours"], identity.embeddings["ours"])
    held = dict(fitted.held_out)
    assert held[fitted.best_step] == min(held.values())
    assert held[fitted.best_step] < held[0] - 0.003
    assert torch.equal(identity_vector(fitted.identity, model), vector)
    assert torch.equal(identity_vector(fitted.identity, model, fitted=False), identity.embeddings["ours"])


def test_fitting_is_decided_by_the_seed() -> None:
    model, identity, options = small_model(), person(3), replace(OPTIONS, learning_rate=0.2)
    state = torch.get_rng_state()
    one, same, other = (fit_identity(identity, model, replace(options, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.identity.fitted["small-1"], same.identity.fitted["small-1"])
    assert one.losses == same.losses
    assert one.losses != other.losses


@pytest.mark.parametrize("photos", [2, 3])
def test_a_cancelled_fitting_goes_on_exactly(photos: int, tmp_path: Path) -> None:
    model, identity, state = small_model(), person(photos), tmp_path / "state.pt"
    whole = fit_identity(identity, model, OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        fit_identity(identity, model, OPTIONS, CancellingHost(7, KeyboardInterrupt), state=state)
    assert state.exists()  # of step 4
    resumed = fit_identity(identity, model, OPTIONS, state=state)
    assert resumed.losses == whole.losses
    assert resumed.held_out == whole.held_out
    assert torch.equal(vector_of(resumed), vector_of(whole))
    assert not state.exists()


def test_the_state_of_another_fitting_is_not_taken(tmp_path: Path) -> None:
    model, state = small_model(), tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        fit_identity(person(2), model, OPTIONS, CancellingHost(7, KeyboardInterrupt), state=state)
    again = fit_identity(person(3), model, OPTIONS, state=state)
    assert again.losses == fit_identity(person(3), model, OPTIONS).losses


def test_what_a_held_out_photo_does_not_gain_by_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter((0.1, 0.2, 0.3, 0.4))
    monkeypatch.setattr(IDFSRTask, "held_out_loss", lambda task: next(losses))
    options = replace(OPTIONS, steps=3, check_every=1)
    identity = replace(person(2), fitted={"small-1": torch.ones(6), "another": torch.zeros(6)})
    fitted = fit_identity(identity, small_model(), options)
    assert fitted.best_step == 0
    assert set(fitted.identity.fitted) == {"another"}
    assert len(fitted.held_out) == 4


def test_it_stops_when_the_held_out_photo_only_gets_worse() -> None:
    options = replace(OPTIONS, steps=100, learning_rate=20.0, check_every=1, patience=3)
    fitted = fit_identity(person(3), small_model(), options)
    assert len(fitted.losses) < 100
    assert len(fitted.losses) == fitted.best_step + 3


def test_it_runs_under_inference_mode_on_weights_loaded_there() -> None:
    with torch.inference_mode():
        model, identity = small_model(), person(3)
        assert next(model.network.parameters()).is_inference()
        fitted = fit_identity(identity, model, OPTIONS)
    expected = fit_identity(person(3), small_model(), OPTIONS)
    assert torch.equal(vector_of(fitted), vector_of(expected))


def test_a_fitted_embedding_is_kept_in_the_identitys_file(tmp_path: Path) -> None:
    fitted = fit_identity(person(3), small_model(), replace(OPTIONS, learning_rate=0.2))
    loaded = load_identity(save_identity(tmp_path, fitted.identity))
    assert torch.equal(loaded.fitted["small-1"], fitted.identity.fitted["small-1"])


def test_examples_pair_each_photo_with_the_others() -> None:
    model = small_model()
    crops = torch.stack([torch.full((3, 512, 512), light) for light in (0.1, 0.5, 0.9)])
    examples = FittingExamples(crops, model, (4, 8))
    assert len(examples) == 6 * 2 * 2
    pairs: set[tuple[float, float]] = set()
    for number in range(len(examples)):
        targets, seen, styles = examples.take(torch.tensor([number]))
        on = seen.mask[0, 0] > 0.999
        pairs.add((round(float(targets.mean()), 2), round(float(seen.warped[0, :, on].mean()), 2)))
        assert torch.allclose(styles, model.style(seen), atol=1e-5)
    assert pairs == {(a, b) for a in (0.1, 0.5, 0.9) for b in (0.1, 0.5, 0.9) if a != b}
    first = FittingExamples(crops, model, (4,), only_first=True)
    assert torch.allclose(first.targets, torch.tensor(0.1), atol=1e-3)
    alone = FittingExamples(torch.rand(1, 3, 512, 512), model, (4,))
    assert len(alone) == 2
    targets, seen, _ = alone.take(torch.tensor([0]))
    on = (seen.mask > 0.999).expand(-1, 3, -1, -1)
    assert not torch.allclose(seen.warped[on], targets[on], atol=0.01)  # the mirrored photo


def test_the_curve_shows_steps_held_out_losses_and_the_best_step() -> None:
    fitted = Fitted(person(1), tuple(1 - step / 50 for step in range(50)), ((0, 0.9), (25, 0.2), (50, 0.6)), 25)
    picture = loss_curve(fitted, 400, 300)
    assert picture.shape == (1, 3, 300, 400)
    colours = {tuple(round(v * 255) for v in pixel) for pixel in picture[0].flatten(1).T.tolist()}
    assert {(60, 110, 200), (210, 90, 40), (60, 150, 70)} <= colours
    assert loss_curve(Fitted(person(2), (0.5,), ((0, 0.4), (1, 0.6)), 0)).shape == (1, 3, 360, 640)


def test_wrong_use_is_named() -> None:
    model = small_model()
    for photos in (0, 1):
        with raises_naming(InputError, "Ada", photos, 2, 10, "held out"):
            fit_identity(person(photos), model, OPTIONS)
    other = replace(person(2), embeddings={"arcface": torch.ones(4) / 2})
    with raises_naming(InputError, "arcface", "ours"):
        fit_identity(other, model, OPTIONS)
    with raises_naming(InputError, "steps", 0, 1, 10000):
        FittingOptions(steps=0)
    with raises_naming(InputError, "learning rate", -1, 0.0001):
        FittingOptions(learning_rate=-1)
    with pytest.raises(InputError):
        FittingOptions(scales=())
