"""The face losses and the distillation, against hand computations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.systems import WordStates, alpha_bar
from torch import nn

from headsup_core.faces.alignment import template
from headsup_core.models.bases.base import Base
from headsup_core.training.losses.companions import Companion, Restoration
from headsup_core.training.losses.differentiable_recognisers import aligned_faces
from headsup_core.training.losses.distillation import (
    Distillation,
    DistillationConfig,
    clean_latent,
    diffusion_loss,
    distillation_gradient,
    distillation_loss,
)
from headsup_core.training.losses.face_critic import PatchCritic
from headsup_core.training.losses.feature_critic import CHANNELS, LEVELS, FeatureCritic
from headsup_core.training.losses.loss_terms import (
    colour_error,
    face_fidelity,
    hinge_critic,
    hinge_generator,
    squared_error,
)
from headsup_core.training.losses.perceptual import load_lpips
from headsup_core.training.processes import Processes


def _half_as_far(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().flatten(1).mean(1) / 2


def test_squared_error_is_in_the_range_of_the_networks() -> None:
    restored, truth = torch.full((2, 3, 4, 4), 0.75), torch.full((2, 3, 4, 4), 0.5)
    expected = ((restored * 2 - 1) - (truth * 2 - 1)).square().mean()
    assert squared_error(restored, truth).item() == pytest.approx(0.25)
    assert squared_error(restored, truth).item() == pytest.approx(expected.item())


def test_face_fidelity_is_the_weighted_sum() -> None:
    restored, truth = torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)
    assert face_fidelity(restored, truth, _half_as_far).item() == pytest.approx(0.04 + 0.8 * 0.05)
    assert face_fidelity(restored, truth, _half_as_far, 0.5).item() == pytest.approx(0.04 + 0.5 * 0.05)


def test_face_fidelity_sees_the_face_alone() -> None:
    """The gradient lies in the aligned crop, not in the rest of the picture."""
    landmarks = template("ffhq", 64)[None] + 20
    restored = torch.rand(1, 3, 128, 128, requires_grad=True)
    faces, truths = (aligned_faces(source, landmarks, 64, "ffhq") for source in (restored, torch.rand(1, 3, 128, 128)))
    assert torch.allclose(faces, restored[..., 20:84, 20:84], atol=1e-4)
    face_fidelity(faces, truths, _half_as_far).backward()
    assert restored.grad is not None
    assert (restored.grad[..., 21:83, 21:83] != 0).float().mean() > 0.99
    assert restored.grad[..., 86:].abs().sum() == restored.grad[..., :18].abs().sum() == 0


def test_colour_error_sees_colour_alone() -> None:
    truth = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert colour_error(truth + torch.rand(1, 1, 8, 8), truth).item() == pytest.approx(0, abs=1e-6)  # light
    tinted = truth + torch.tensor([0.1, 0.0, -0.3]).view(1, 3, 1, 1)
    assert colour_error(tinted, truth).item() == pytest.approx((0.1 + 0.3) / 2, abs=1e-6)


def _learn(companion: Companion, restored: Restoration, seed: int) -> float:
    """One step of its own; its loss before it."""
    processes = Processes(torch.device("cpu"), "no")
    loss = companion.gather(restored, torch.Generator().manual_seed(seed), processes)
    companion.step(processes)
    assert loss is not None
    return loss


def test_hinge_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    # true pictures: 0, 0.5, 2; restored ones: 0, 1, 2
    assert hinge_critic(real, fake).item() == pytest.approx((2.5 / 3 + 3 / 3) / 2)
    assert hinge_generator(fake).item() == pytest.approx(2 / 3)


def test_critic_scores_patches_of_70_pixels() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(8).eval()
    faces = torch.rand(1, 3, 128, 128, requires_grad=True)
    scores = critic(faces)
    assert scores.shape == (1, 1, 14, 14)
    scores[0, 0, 7, 7].backward()
    assert faces.grad is not None
    seen = faces.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_critic_learns_to_tell_sharp_from_flat() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(8)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
    real, fake = torch.rand(4, 3, 48, 48), torch.full((4, 3, 48, 48), 0.5)
    for _ in range(25):
        optimizer.zero_grad()
        hinge_critic(critic(real), critic(fake)).backward()
        optimizer.step()
    assert critic(real).mean() > critic(fake).mean() + 0.5
    convolution = critic.layers[2]
    assert isinstance(convolution, nn.Conv2d)
    assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)


@pytest.fixture
def feature_critic(backbone: Path) -> FeatureCritic:
    torch.manual_seed(0)
    return FeatureCritic(load_lpips(backbone), 2e-2, torch.device("cpu"))


def test_the_feature_critic_sees_the_levels_that_it_names(backbone: Path) -> None:
    lpips: Any = load_lpips(backbone)
    slices = lpips.net(lpips.scaling_layer(torch.rand(1, 3, 96, 96)))
    assert {level: slices[level].shape[1] for level in CHANNELS} == CHANNELS
    assert [96 // slices[level].shape[-1] for level in LEVELS] == [2, 4, 8, 19]  # pools without padding


def test_the_feature_critic_learns_to_tell_sharp_from_flat(feature_critic: FeatureCritic) -> None:
    torch.manual_seed(1)
    sharp, flat = torch.rand(2, 3, 80, 80), torch.full((2, 3, 80, 80), 0.5)
    restored = Restoration(flat[:, :1], flat, truth=sharp)
    losses = [_learn(feature_critic, restored, step) for step in range(12)]
    assert losses[0] == pytest.approx(1, abs=0.2)  # hinge at scores about 0
    assert losses[-1] < 0.3
    picture = flat.clone().requires_grad_(True)
    term = feature_critic.term(Restoration(flat[:, :1], picture), torch.Generator())
    assert term is not None
    assert term.item() > 0.5  # it scores restored pictures below true ones
    term.backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_the_feature_critic_says_nothing_without_the_truth(feature_critic: FeatureCritic) -> None:
    picture = torch.rand(1, 3, 80, 80)
    assert feature_critic.own_loss(Restoration(picture[:, :1], picture), torch.Generator()) is None


class LinearUNet(nn.Module):
    """eps = 0.5 z + mean of the prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(4, 4, 1, bias=False)
        self.conv_in.weight = nn.Parameter(0.5 * torch.eye(4)[:, :, None, None], requires_grad=False)

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, return_dict: bool
    ) -> tuple[torch.Tensor]:
        assert timestep.shape == sample.shape[:1]
        assert not return_dict
        return (self.conv_in(sample) + encoder_hidden_states.mean(dim=(1, 2)).view(-1, 1, 1, 1),)


@pytest.fixture
def distillation() -> Distillation:
    vae: Any = nn.Module()
    unet: Any = LinearUNet()
    torch.manual_seed(0)
    base = Base(Path("linear"), unet, vae, WordStates())
    return Distillation(base, "a face", DistillationConfig(negative="bad"), torch.device("cpu"))


def _set_copy(distillation: Distillation, gain: float) -> None:
    """The copy's conv_in becomes (0.5 + gain) z."""
    with torch.no_grad():
        for name, tensor in distillation.network.state_dict().items():
            tensor.copy_(torch.eye(4)[..., None, None] * (1.0 if name.endswith("down") else gain / 2))


def test_distillation_against_a_hand_computation(distillation: Distillation) -> None:
    _set_copy(distillation, 0.1)
    latent = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(5), requires_grad=True)
    picture = torch.zeros(2, 3, 6, 6)
    term = distillation.term(Restoration(latent, picture), torch.Generator().manual_seed(7))
    term.backward()

    drawn = torch.Generator().manual_seed(7)
    steps = torch.randint(20, 980, (2,), generator=drawn).tolist()
    noise = torch.randn(2, 4, 3, 3, generator=drawn)
    good, bad = (WordStates().encode(text).mean() for text in ("a face", "bad"))
    expected, total = torch.zeros_like(latent), 0.0
    for index, step in enumerate(steps):
        bar = alpha_bar(step)
        z = latent[index].detach()
        noisy = bar**0.5 * z + (1 - bar) ** 0.5 * noise[index]
        eps_update = 0.6 * noisy + good
        eps_fix = (0.5 * noisy + bad) + 7.5 * (good - bad)
        x0_update, x0_fix = ((noisy - (1 - bar) ** 0.5 * eps) / bar**0.5 for eps in (eps_update, eps_fix))
        expected[index] = (x0_update - x0_fix) / (z - x0_fix).abs().mean()
        total += float((expected[index] ** 2).mean()) / 2
    assert term.item() == pytest.approx(total, rel=1e-3)
    assert latent.grad is not None
    assert torch.allclose(latent.grad, 2 * expected / latent.numel(), rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None for parameter in distillation.network.parameters())


def test_an_untrained_copy_differs_from_the_frozen_model_by_guidance_alone(distillation: Distillation) -> None:
    config = DistillationConfig(guidance=1.0)
    distillation.config = config
    latent = torch.randn(1, 4, 3, 3, requires_grad=True)
    assert distillation.term(Restoration(latent, latent), torch.Generator()).item() == pytest.approx(0, abs=1e-9)


def test_the_copy_learns_diffusion_on_detached_latents(distillation: Distillation) -> None:
    latent = torch.randn(2, 4, 3, 3, requires_grad=True)
    restored = Restoration(latent, latent)
    _set_copy(distillation, 0.1)
    own = distillation.own_loss(restored, torch.Generator().manual_seed(3))
    drawn = torch.Generator().manual_seed(3)
    steps = torch.randint(0, 1000, (2,), generator=drawn)
    noise = torch.randn(2, 4, 3, 3, generator=drawn)
    bars = torch.tensor([alpha_bar(step) for step in steps.tolist()]).view(-1, 1, 1, 1)
    noisy = bars.sqrt() * latent.detach() + (1 - bars).sqrt() * noise
    expected = (0.6 * noisy + WordStates().encode("a face").mean() - noise).square().mean()
    assert own.item() == pytest.approx(expected.item(), rel=1e-4)
    own.backward()
    assert latent.grad is None
    before = {name: tensor.clone() for name, tensor in distillation.network.state_dict().items()}
    _learn(distillation, restored, 3)
    assert all(not torch.equal(tensor, before[name]) for name, tensor in distillation.network.state_dict().items())


def test_distillation_formulas() -> None:
    z, update, fixed = (torch.full((1, 4, 2, 2), value, requires_grad=True) for value in (1.0, 0.8, 0.5))
    gradient = distillation_gradient(z, update, fixed)
    assert torch.allclose(gradient, torch.tensor(0.6))
    assert distillation_loss(z, gradient.detach()).item() == pytest.approx(0.36)
    bars = torch.tensor([0.64])
    noise, step = torch.full((1, 4, 2, 2), 0.5), torch.tensor([0])
    assert torch.allclose(clean_latent(torch.full((1, 4, 2, 2), 1.1), noise, step, bars), torch.tensor(1.0))
    # z_t = 0.8 * 1 + 0.6 * 0.5 = 1.1, of which the network says a half
    assert diffusion_loss(z, noise, step, bars, lambda noisy, at: noisy / 2).item() == pytest.approx(0.05**2, rel=1e-4)
