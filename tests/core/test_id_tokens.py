"""Identity tokens: IP-Adapter's formula, an untrained injector, shared weights, files."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.systems import SUFFIXES, headsup_adapters, latent, low_rank, matching, merged
from torch import nn

import headsup_core as hu
from headsup_core.models.architecture import Architecture
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_adapter import save_headsup_adapter
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.id_tokens import IdTokenRecord, IdTokens, TokenScales, cross_attentions
from headsup_core.models.lora.branches import Adapter, LowRankBranch, attached, merge_into
from headsup_core.models.one_step import OneStepModel, widen_conv_in

RECORD = IdTokenRecord("colour", 3, 2)
STATES = torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(2))


def injector(unet: nn.Module, seed: int = 4, *, trained: bool = True) -> IdTokens:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = IdTokens.beside(unet, RECORD)
        if trained:
            for layer in made.values:
                nn.init.normal_(layer.get_parameter("weight"), std=0.5)
    return made.requires_grad_(False)


def embedding(seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(1, 3, generator=torch.Generator().manual_seed(seed)), dim=1)


class Published:
    """IP-Adapter's attention as its formula has it: softmax(Q K^T / sqrt(d)) V of text, plus s of tokens"""

    def __init__(self, key: torch.Tensor, value: torch.Tensor, tokens: torch.Tensor, scale: float) -> None:
        self.key, self.value, self.tokens, self.scale = key, value, tokens, scale

    def __call__(self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, **_: Any) -> torch.Tensor:
        query = attn.to_q(hidden_states)
        text = self.attend(attn.heads, query, attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        own = self.attend(attn.heads, query, self.tokens @ self.key.T, self.tokens @ self.value.T)
        return attn.to_out[0](text + self.scale * own)

    @staticmethod
    def attend(heads: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        width = query.shape[-1] // heads
        parts = []
        for head in range(heads):
            q, k, v = (each[..., head * width : (head + 1) * width] for each in (query, key, value))
            parts.append(torch.softmax(q @ k.transpose(1, 2) / width**0.5, dim=-1) @ v)
        return torch.cat(parts, dim=-1)


def call(unet: Any, states: torch.Tensor = STATES) -> torch.Tensor:
    return unet(latent(), 999, encoder_hidden_states=states, return_dict=False)[0]


def by_formula(unet: Any, tokens: IdTokens, vector: torch.Tensor, scales: TokenScales) -> torch.Tensor:
    changed = copy.deepcopy(unet)
    projected = (vector @ tokens.projection.weight.T + tokens.projection.bias).reshape(1, 2, 16)
    centred = projected - projected.mean(-1, keepdim=True)
    states = centred / (projected.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    for path, key, value in zip(tokens.paths, tokens.keys, tokens.values, strict=True):
        scale = {"down_blocks": scales.down, "mid_block": scales.mid, "up_blocks": scales.up}[path.split(".")[0]]
        block = changed.get_submodule(path)
        block.processor = Published(key.weight, value.weight, states, scale)
    return call(changed)


@pytest.mark.parametrize("scales", [TokenScales(), TokenScales(0.5, 0.25, 0.75), TokenScales(0, 1, 0)])
def test_is_the_published_formula(tiny_base: tuple[Any, Any], scales: TokenScales) -> None:
    unet, tokens, plain = tiny_base[0], injector(tiny_base[0]), call(tiny_base[0])
    with tokens.attached(unet, embedding(), scales):
        found = call(unet)
    assert torch.allclose(found, by_formula(unet, tokens, embedding(), scales), atol=1e-5)
    assert (found - plain).abs().max() > 1e-3
    assert torch.equal(call(unet), plain), "nothing stays on the UNet"


def test_untrained_injector_changes_nothing_and_learns(tiny_base: tuple[Any, Any]) -> None:
    unet = tiny_base[0]
    tokens = injector(unet, trained=False).requires_grad_(True)
    plain = call(unet)
    with tokens.attached(unet, embedding()):
        found = call(unet)
    assert torch.equal(found, plain)
    found.square().mean().backward()
    gradients = [layer.get_parameter("weight").grad for layer in tokens.values]
    assert all(gradient is not None and float(gradient.abs().max()) > 0 for gradient in gradients)
    assert all(bool((layer.get_parameter("weight") != 0).any()) for layer in (*tokens.keys, tokens.projection))


def test_queries_come_with_their_adapter(tiny_base: tuple[Any, Any]) -> None:
    """Beside low-rank branches it is what it is beside a network with merged weights."""
    unet, tokens = tiny_base[0], injector(tiny_base[0])
    tensors = low_rank(unet, matching(unet, SUFFIXES), 4, "x", 5)
    branches = {
        path: LowRankBranch(tensors[f"{path}.lora_A.x.weight"], tensors[f"{path}.lora_B.x.weight"], 2.0)
        for path in matching(unet, SUFFIXES)
    }
    with attached(unet, [Adapter(branches)]), tokens.attached(unet, embedding()):
        inside = call(unet)
    expected = by_formula(merged(unet, tensors, 2.0), tokens, embedding(), TokenScales())
    assert torch.allclose(inside, expected, atol=1e-4)


def headsup(base: Base, folder: Path) -> Any:
    unet, encoder, record = headsup_adapters(base)
    tokens = injector(base.unet)
    path = folder / "mine.safetensors"
    save_headsup_adapter(path, unet, encoder, replace(record, id_tokens=RECORD), id_tokens=tokens)
    return path, tokens


def test_two_people_over_the_same_weights(base: Base, tmp_path: Path) -> None:
    path, _ = headsup(base, tmp_path)
    one, other = (hu.load_model(adapter=path, base=base).one_step for _ in range(2))
    states, z = base.text.encode("x"), latent()
    plain = one.denoise(z, states)
    first, second = one.denoise(z, states, embedding=embedding(1)), other.denoise(z, states, embedding=embedding(2))
    assert (first - plain).abs().max() > 1e-3
    assert (first - second).abs().max() > 1e-3
    for _ in range(2):  # interleaved
        assert torch.equal(one.denoise(z, states, embedding=embedding(1)), first)
        assert torch.equal(other.denoise(z, states), plain)
        assert torch.equal(other.denoise(z, states, embedding=embedding(2)), second)
    both = one.denoise(torch.cat([z, z]), states, embedding=torch.cat([embedding(1), embedding(2)]))
    assert torch.allclose(both, torch.cat([first, second]), atol=1e-3), "the prediction's rounding times 14.6"
    with pytest.raises(RuntimeError):
        one.denoise(z, torch.zeros(1, 7, 5), embedding=embedding(1))
    assert torch.equal(one.denoise(z, states), plain), "an error leaves nothing behind"


def test_model_uses_its_adapters_queries(base: Base, tmp_path: Path) -> None:
    path, tokens = headsup(base, tmp_path)
    model = hu.load_model(adapter=path, base=base).one_step
    merged_unet = hu.load_model(adapter=path, base=Base(base.path, *copy.deepcopy((base.unet, base.vae)), base.text))
    owned = replace(merged_unet.one_step, passes=(replace(model.passes[0], adapters=()),))
    widen_conv_in(owned.unet, 9)
    merge_into(owned.unet, model.passes[0].adapters)
    states, z = base.text.encode("x"), latent()
    found = model.denoise(z, states, embedding=embedding())
    assert torch.allclose(found, owned.denoise(z, states, embedding=embedding()), atol=1e-2)
    assert (found - model.denoise(z, states)).abs().max() > 0.1
    assert tokens.record == RECORD


def test_adapter_file_keeps_them(base: Base, tmp_path: Path) -> None:
    path, tokens = headsup(base, tmp_path)
    loaded = hu.load_model(adapter=path, base=base).one_step
    assert loaded.id_tokens is not None
    assert loaded.id_tokens.record == RECORD
    assert all(torch.equal(a, b) for a, b in zip(loaded.id_tokens.parameters(), tokens.parameters(), strict=True))
    assert loaded.id_tokens in loaded.networks
    assert loaded.id_tokens in loaded.denoisers
    unet, encoder, record = headsup_adapters(base)
    with pytest.raises(ValueError, match="id_tokens None are not those of the injector"):
        save_headsup_adapter(path, unet, encoder, record, id_tokens=tokens)


def test_model_file_keeps_them(architecture: Architecture, tmp_path: Path) -> None:
    wanted = replace(architecture, id_tokens=RECORD)
    with torch.random.fork_rng():
        model: OneStepModel = wanted.build()
    assert model.id_tokens is not None
    assert len(model.id_tokens.paths) == len(cross_attentions(model.unet)) > 3
    save_headsup(tmp_path / "toy.safetensors", model, wanted, torch.float32)
    loaded = hu.load_model(tmp_path / "toy.safetensors").one_step
    assert loaded.id_tokens is not None
    state = model.id_tokens.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.id_tokens.state_dict().items())
    save_headsup(tmp_path / "less.safetensors", replace(model, id_tokens=None), wanted)
    with pytest.raises(hu.ModelFileError, match=r"tensors are missing, the first is id_tokens\."):
        hu.load_model(tmp_path / "less.safetensors")


@pytest.mark.parametrize(
    "record",
    [
        {"embedder": "", "dim": 3, "tokens": 2},
        {"embedder": "x", "dim": 0, "tokens": 2},
        {"embedder": "x", "dim": 3, "tokens": 2.5},
        {"embedder": "x", "dim": 3},
    ],
)
def test_damaged_records_are_refused(architecture: Architecture, record: dict[str, Any]) -> None:
    with pytest.raises(hu.ModelFileError, match="not understood"):
        Architecture.from_json({**architecture.to_json(), "id_tokens": record})
    assert Architecture.from_json(replace(architecture, id_tokens=RECORD).to_json()).id_tokens == RECORD


def test_wrong_use_is_refused(toy_model: OneStepModel) -> None:
    with pytest.raises(hu.InputError, match=r"id token scale up is 1\.5: must be from 0 to 1"):
        TokenScales(up=1.5)
    with pytest.raises(ValueError, match="no identity tokens"):
        toy_model.denoise(torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8), embedding=embedding())
