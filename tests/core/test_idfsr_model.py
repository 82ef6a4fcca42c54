"""IDFSR's blocks, diffusion and model against hand computations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from harness.refusals import raises_naming

from headsup_core.errors import InputError, ModelFileError
from headsup_core.idfsr.conditioning import Seen
from headsup_core.idfsr.diffusion import add_noise, alphas_bar, sample, starting_noise, timesteps
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import FFHQ256, PRESETS, TINY, IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_blocks import (
    Attention,
    Conditions,
    IdentityAttention,
    IdentityTokens,
    StyledResidual,
)
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork

SMALL = IDFSRArchitecture(
    16, 16, (1, 2), (1, 2), 1, residuals=1, embedding=6, token_width=8, style=10, time=12, groups=4, dropout=0.0
)


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return module.eval()


def small_model(**changes: object) -> IDFSRModel:
    architecture = replace(SMALL, **changes)
    network = randomised(IDFSRNetwork(architecture))
    assert isinstance(network, IDFSRNetwork)
    return IDFSRModel(network, architecture)


def seen(batch: int, size: int = 16, seed: int = 1) -> Seen:
    generator = torch.Generator().manual_seed(seed)
    masked, warped = torch.rand(2, batch, 3, size, size, generator=generator)
    return Seen(masked, warped, torch.ones(batch, 1, size, size))


@pytest.mark.parametrize("resize", ["keep", "down", "up"])
def test_adagn_is_the_papers_with_factors_about_one(resize: str) -> None:
    widths = replace(SMALL, time=5, style=7, groups=4)
    block = randomised(StyledResidual(8, 12, widths, resize))  # type: ignore[arg-type]
    hidden, time, style = torch.randn(2, 8, 6, 6), torch.randn(2, 5), torch.randn(2, 7)
    change = {
        "keep": lambda x: x,
        "down": lambda x: F.avg_pool2d(x, 2),
        "up": lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3),
    }[resize]
    state = block.state_dict()
    first = F.conv2d(
        change(F.silu(F.group_norm(hidden, 4, state["in_layers.0.weight"], state["in_layers.0.bias"]))),
        state["in_layers.2.weight"],
        state["in_layers.2.bias"],
        padding=1,
    )
    t_s, t_b = (F.silu(time) @ state["emb_layers.1.weight"].T + state["emb_layers.1.bias"]).split(12, dim=1)
    z_f = F.silu(style) @ state["cond_emb_layers.1.weight"].T + state["cond_emb_layers.1.bias"]
    normalised = F.group_norm(first, 4, state["out_layers.0.weight"], state["out_layers.0.bias"])
    modulated = (1 + z_f)[..., None, None] * ((1 + t_s)[..., None, None] * normalised + t_b[..., None, None])
    second = F.conv2d(F.silu(modulated), state["out_layers.3.weight"], state["out_layers.3.bias"], padding=1)
    skip = F.conv2d(change(hidden), state["skip_connection.weight"], state["skip_connection.bias"])
    result = block(hidden, Conditions(time, style, torch.zeros(2, 1, 1)))
    assert torch.allclose(result, skip + second, atol=1e-5)


def test_attention_is_softmax_over_places() -> None:
    block = randomised(Attention(8, 4))
    hidden = torch.randn(2, 8, 3, 5)
    state = block.state_dict()
    flat = hidden.flatten(2)
    normalised = F.group_norm(flat, 4, state["norm.weight"], state["norm.bias"])
    query, key, value = F.conv1d(normalised, state["qkv.weight"], state["qkv.bias"]).chunk(3, dim=1)
    weights = (query.mT @ key / 8**0.5).softmax(-1)
    expected = flat + F.conv1d(value @ weights.mT, state["proj_out.weight"], state["proj_out.bias"])
    assert torch.allclose(block(hidden).flatten(2), expected, atol=1e-5)


def test_places_attend_to_the_identity() -> None:
    block = randomised(IdentityAttention(8, 4, token_width=6))
    assert isinstance(block, IdentityAttention)
    hidden, tokens = torch.randn(2, 8, 3, 5), torch.randn(2, 4, 6)
    state = block.state_dict()
    flat = block(hidden).flatten(2)
    normalised = F.group_norm(flat, 4, state["identity.norm.weight"], state["identity.norm.bias"])
    query = F.conv1d(normalised, state["identity.to_q.weight"], state["identity.to_q.bias"])
    key, value = (tokens @ state["identity.to_kv.weight"].T + state["identity.to_kv.bias"]).chunk(2, dim=-1)
    weights = (query.mT @ key.mT / 8**0.5).softmax(-1)
    expected = flat + F.conv1d((weights @ value).mT, state["identity.to_out.weight"], state["identity.to_out.bias"])
    assert torch.allclose(block.attend(hidden, tokens).flatten(2), expected, atol=1e-5)


def test_an_untrained_identity_changes_nothing_and_learns() -> None:
    block = IdentityAttention(8, 4, token_width=6)
    hidden, tokens = torch.randn(2, 8, 4, 4), torch.randn(2, 4, 6)
    result = block.attend(hidden, tokens)
    assert torch.equal(result, hidden)
    (result * torch.randn_like(result)).sum().backward()
    gradient = block.identity["to_out"].weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_embeddings_are_standardised_over_the_trainings_people() -> None:
    tokens = IdentityTokens(5, 3, 4)
    people = torch.randn(200, 5) * torch.tensor([1.0, 2, 3, 4, 5]) + 7
    tokens.mean.copy_(people.mean(0))
    tokens.scale.copy_(people.std(0))
    shifted = IdentityTokens(5, 3, 4)
    shifted.load_state_dict(tokens.state_dict() | {"mean": torch.zeros(5), "scale": torch.ones(5)})
    standard = (people - people.mean(0)) / people.std(0)
    assert tokens(people).shape == (200, 3, 4)
    assert torch.allclose(tokens(people), shifted(standard), atol=1e-5)


def test_the_noise_is_that_of_the_linear_schedule() -> None:
    # abar of 1000 steps from 1e-4 to 0.02: the DDPM paper's schedule, whose end is 4.036e-5
    assert alphas_bar()[0] == pytest.approx(0.9999)
    assert alphas_bar()[999] == pytest.approx(4.0358e-5, rel=1e-3)
    clean, noise = torch.full((2, 3, 1, 1), 0.5), torch.full((2, 3, 1, 1), -1.0)
    mixed = add_noise(clean, noise, torch.tensor([0, 999]))
    assert mixed[0, 0].item() == pytest.approx(0.9999**0.5 * 0.5 - 0.0001**0.5, abs=1e-6)
    assert mixed[1, 0].item() == pytest.approx(4.0358e-5**0.5 * 0.5 - (1 - 4.0358e-5) ** 0.5, abs=1e-6)


def test_ddim_follows_its_closed_form() -> None:
    def wrong_but_smooth(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return torch.tanh(noisy * 0.7) + timestep.view(-1, 1, 1, 1) / 5000

    noise = torch.randn(2, 3, 4, 4)
    abar = alphas_bar().double()
    current = noise.double()
    for t in range(950, -1, -50):  # 20 steps
        eps = wrong_but_smooth(current, torch.tensor([t, t]))
        x0 = ((current - (1 - abar[t]).sqrt() * eps) / abar[t].sqrt()).clamp(-1, 1)
        eps = (current - abar[t].sqrt() * x0) / (1 - abar[t]).sqrt()
        before = abar[t - 50] if t else torch.tensor(1.0, dtype=torch.float64)
        current = before.sqrt() * x0 + (1 - before).sqrt() * eps
    believed: list[torch.Tensor] = []
    result = sample(wrong_but_smooth, noise, 20, believed.append)
    assert torch.allclose(result.double(), current, atol=1e-4)
    assert len(believed) == 20
    assert torch.allclose(believed[-1], result, atol=1e-4)


def test_who_knows_the_noise_gets_the_picture() -> None:
    clean = torch.rand(1, 3, 4, 4) * 2 - 1

    def knowing(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        kept = alphas_bar()[timestep].view(-1, 1, 1, 1)
        return (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()

    assert torch.allclose(sample(knowing, torch.randn(1, 3, 4, 4)), clean, atol=1e-3)


def test_who_knows_the_velocity_gets_the_picture() -> None:
    clean = torch.rand(1, 3, 4, 4) * 2 - 1

    def knowing(noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        kept = alphas_bar()[timestep].view(-1, 1, 1, 1)
        return (kept.sqrt() * noisy - clean) / (1 - kept).sqrt()  # of x_t and x_0 alone

    for predicts, right in (("velocity", True), ("noise", False)):
        believed: list[torch.Tensor] = []
        sample(knowing, torch.randn(1, 3, 4, 4), 20, believed.append, predicts)  # type: ignore[arg-type]
        assert torch.allclose(believed[0], clean, atol=1e-3) == right


def test_an_untrained_model_of_residuals_gives_the_warped_reference() -> None:
    architecture = replace(SMALL, predicts="residual", steps=4)
    model, inputs = IDFSRModel(IDFSRNetwork(architecture).eval(), architecture), seen(2)
    for steps in (1, 4, 7):
        result = model.restore(inputs, torch.randn(2, 6), steps=steps)
        assert torch.allclose(result, inputs.warped, atol=1e-6)


def test_residuals_take_few_steps_from_the_end_and_are_their_own_goal() -> None:
    assert timesteps(4, "residual").tolist() == [999, 749, 499, 249]
    assert set(timesteps(4, "residual").tolist()) < set(timesteps(8, "residual").tolist())
    model, (clean, inputs, identity) = (
        small_model(predicts="residual", steps=4),
        (torch.rand(2, 3, 16, 16), seen(2), torch.randn(2, 6)),
    )
    style = model.style(inputs)
    attempt = model.attempt(clean, inputs, style, identity, torch.Generator().manual_seed(9))
    chance = torch.Generator().manual_seed(9)
    timestep = torch.tensor([999, 749, 499, 249])[torch.randint(4, (2,), generator=chance)]
    noise = torch.randn(2, 3, 16, 16, generator=chance)
    residual = (clean - inputs.warped) * 2 / 0.25
    found = model.network(add_noise(residual, noise, timestep), inputs.masked * 2 - 1, timestep, style, identity)
    assert attempt.loss.item() == pytest.approx(((found - residual) ** 2).mean().item(), rel=1e-5)
    assert attempt.faces is not None
    assert torch.allclose(attempt.faces, (inputs.warped + 0.125 * found).clamp(0, 1), atol=1e-5)


def test_a_model_of_residuals_takes_steps_that_it_was_trained_at() -> None:
    model, inputs, identity = small_model(predicts="residual", steps=8), seen(1), torch.randn(1, 6)
    assert [model.taken(asked) for asked in (None, 1, 3, 7, 8, 20)] == [8, 1, 2, 4, 8, 8]
    assert small_model(steps=8).taken(20) == 20
    believed: list[torch.Tensor] = []
    model.restore(inputs, identity, steps=20, after=believed.append)
    assert len(believed) == 8


def test_who_knows_the_residual_gets_the_picture_within_range() -> None:
    residual = torch.randn(1, 3, 4, 4) * 3
    believed: list[torch.Tensor] = []
    result = sample(lambda noisy, t: residual, torch.randn(1, 3, 4, 4), 4, believed.append, "residual")
    assert len(believed) == 4
    assert torch.equal(result, residual)


def test_restoring_is_decided_by_the_seed_and_not_by_neighbours() -> None:
    model = small_model()
    faces, identity = seen(2), torch.randn(2, 6, generator=torch.Generator().manual_seed(3))
    both = model.restore(faces, identity, seed=5, steps=3)
    assert both.shape == (2, 3, 16, 16)
    assert both.min() >= 0
    assert both.max() <= 1
    assert torch.equal(both, model.restore(faces, identity, seed=5, steps=3))
    assert not torch.allclose(both, model.restore(faces, identity, seed=6, steps=3), atol=1e-2)
    alone = Seen(faces.masked[1:], faces.warped[1:], faces.mask[1:])
    assert torch.allclose(model.restore(alone, identity[1:], seed=5, steps=3), both[1:], atol=1e-4)
    state = torch.get_rng_state()
    model.restore(faces, identity, steps=1)
    assert torch.equal(state, torch.get_rng_state())


def test_every_condition_reaches_the_noise() -> None:
    model = small_model()
    noisy, inputs = torch.randn(1, 3, 16, 16), seen(1)
    style, identity, timestep = model.style(inputs), torch.randn(1, 6), torch.tensor([300])
    beside = inputs.masked * 2 - 1
    base = model.network(noisy, beside, timestep, style, identity)
    assert (model.network(noisy, -beside, timestep, style, identity) - base).abs().max() > 1e-3
    assert (model.network(noisy, beside, timestep + 200, style, identity) - base).abs().max() > 1e-3
    assert (model.network(noisy, beside, timestep, style + 1, identity) - base).abs().max() > 1e-3
    assert (model.network(noisy, beside, timestep, style, -identity) - base).abs().max() > 1e-3


@pytest.mark.parametrize("predicts", ["noise", "velocity"])
def test_the_loss_is_the_mse_alone(predicts: str) -> None:
    model = small_model(predicts=predicts)
    clean, inputs, identity = torch.rand(2, 3, 16, 16), seen(2), torch.randn(2, 6)
    style = model.style(inputs)
    loss = model.loss(clean, inputs, style, identity, torch.Generator().manual_seed(9))
    chance = torch.Generator().manual_seed(9)
    timestep = torch.randint(1000, (2,), generator=chance)
    noise = torch.randn(2, 3, 16, 16, generator=chance)
    noisy = add_noise(clean * 2 - 1, noise, timestep)
    found = model.network(noisy, inputs.masked * 2 - 1, timestep, style, identity)
    kept = alphas_bar()[timestep].view(-1, 1, 1, 1)
    velocity = (kept.sqrt() * noisy - (clean * 2 - 1)) / (1 - kept).sqrt()
    wanted, precision = {"noise": (noise, 1e-5), "velocity": (velocity, 1e-4)}[predicts]
    assert loss.item() == pytest.approx(((found - wanted) ** 2).mean().item(), rel=precision)


def test_patches_and_the_warped_input_change_the_first_layer_only() -> None:
    model = small_model(patch=2, sees_reference=True)
    assert model.network.state_dict()["input_blocks.0.0.weight"].shape == (16, 9 * 4, 3, 3)
    assert model.restore(seen(1), torch.randn(1, 6), steps=2).shape == (1, 3, 16, 16)
    blind, seeing = small_model(), model
    style, identity = torch.randn(1, 10), torch.randn(1, 6)
    one, other = seen(1), Seen(seen(1).masked, torch.zeros(1, 3, 16, 16), seen(1).mask)
    for tested, same in ((blind, True), (seeing, False)):
        losses = [
            tested.loss(torch.ones(1, 3, 16, 16), inputs, style, identity, torch.Generator().manual_seed(1)).item()
            for inputs in (one, other)
        ]
        assert (losses[0] == losses[1]) == same


def test_the_tiny_model_fits_into_its_file() -> None:
    with torch.device("meta"):
        network = IDFSRNetwork(TINY)
    assert 9e6 < sum(parameter.numel() for parameter in network.parameters()) < 11e6  # 2 bytes each: below 24 MB
    with torch.device("meta"):
        smaller = IDFSRNetwork(replace(TINY, size=64))
    one, other = ({name: value.shape for name, value in n.state_dict().items()} for n in (network, smaller))
    assert one == other


def test_noise_is_the_same_for_each_face() -> None:
    noise = starting_noise(3, 8, 4)
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[:1], starting_noise(1, 8, 4))


def test_records_are_read_back_and_mistakes_named() -> None:
    for architecture in PRESETS.values():
        assert IDFSRArchitecture.from_json(architecture.to_json()) == architecture
    smaller = IDFSRArchitecture.from_json({"preset": "idfsr-tiny", "size": 64})
    assert (smaller.size, smaller.channels) == (64, TINY.channels)
    with raises_naming(ModelFileError, "depth"):
        IDFSRArchitecture.from_json({"preset": "ffhq128", "depth": 3})
    with raises_naming(ModelFileError, "idfsr-huge"):
        IDFSRArchitecture.from_json({"preset": "idfsr-huge"})
    with raises_naming(InputError, "size", 100, 64, 7):
        replace(FFHQ256, size=100)
    with raises_naming(InputError, "x0"):
        replace(SMALL, predicts="x0")
    with raises_naming(InputError, "attention level", 2):
        replace(SMALL, attention_level=2)


def test_wrong_use_is_named() -> None:
    model = small_model(embedder="dlib_resnet_v1")
    with raises_naming(InputError, 0, 1, 1000):
        model.restore(seen(1), torch.randn(1, 6), steps=0)
    with raises_naming(InputError, 9, 6, "dlib_resnet_v1"):
        model.restore(seen(1), torch.randn(1, 9))
