"""The face losses and the distillation, against hand computations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headsup_core.faces.alignment import template
from headsup_core.training.critic import PatchCritic
from headsup_core.training.losses import face_fidelity, hinge_critic, hinge_generator, squared_error
from headsup_core.training.recogniser import aligned_faces


def _half_as_far(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean() / 2


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
