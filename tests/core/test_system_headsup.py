"""HeadsUp on Stable Diffusion 2.1: its file, and what it computes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming
from harness.system_checks import assert_loads_correctly
from harness.systems import alpha_bar, headsup_adapters, latent, merged, picture
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_adapter import save_headsup_adapter
from headsup_core.models.one_step import OneStepModel


def saved(base: Base, folder: Path) -> Path:
    save_headsup_adapter(folder / "mine.safetensors", *headsup_adapters(base))
    return folder / "mine.safetensors"


def by_hand(base: Base) -> tuple[Any, Any]:
    """UNet of nine input channels and VAE with merged weights."""
    unet, vae, _ = headsup_adapters(base)
    networks = []
    for network, adapter in ((base.unet, unet), (base.vae, vae)):
        tensors = {}
        for path, branch in adapter.items():
            tensors |= {f"{path}.lora_A.x": branch.down, f"{path}.lora_B.x": branch.up}
        networks.append(merged(network, tensors, 8 / 4))
    trained = unet.replacements()
    networks[0].conv_in = nn.Conv2d(9, 32, 3, padding=1)
    networks[0].conv_in.load_state_dict({name.split(".")[1]: tensor for name, tensor in trained.items()})
    return networks[0], networks[1]


@pytest.mark.parametrize("known", [False, True])
@torch.no_grad()
def test_equals_hand_made_networks(base: Base, tmp_path: Path, known: bool) -> None:
    model = hu.load_model(adapter=saved(base, tmp_path), base=base).one_step
    unet, vae = by_hand(base)
    random = torch.Generator().manual_seed(1)
    reference, mask = torch.randn(1, 4, 8, 8, generator=random), torch.rand(1, 1, 8, 8, generator=random)
    given = (reference, mask) if known else (torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8))
    states = base.text.encode("a face")
    noise = unet(torch.cat([latent(), *given], dim=1), 999, encoder_hidden_states=states).sample
    clean = (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5
    assert torch.equal(model.prompt.embeddings(None), states)
    found = model.denoise(latent(), states, *(given if known else ()))
    assert (found - clean).abs().max() < 1e-3
    expected = vae.encode(picture() * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    assert (model.codec.encode(picture()) - expected).abs().max() < 1e-4
    assert model.takes_reference
    assert (model.system, model.card.name, model.trained_size) == ("headsup", "HeadsUp test", 1024)


@torch.no_grad()
def test_headsup_loads_correctly(base: Base, tmp_path: Path) -> None:
    unet, _ = by_hand(base)

    def expected(model: OneStepModel) -> torch.Tensor:
        nobody = torch.cat([latent(), torch.zeros(1, 5, 8, 8)], dim=1)
        noise = unet(nobody, 999, encoder_hidden_states=model.prompt.embeddings(None)).sample
        return (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5

    model = assert_loads_correctly(base, saved(base, tmp_path), "headsup", expected)
    assert model.takes_reference


@torch.no_grad()
def test_merged_into_its_own_base_it_is_the_same(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(base, tmp_path)
    own = Base(base.path, copy.deepcopy(base.unet), copy.deepcopy(base.vae), base.text)
    monkeypatch.setattr("headsup_core.models.loading.load_base", lambda *_: own)
    (tmp_path / "base").mkdir()
    model = hu.load_model(adapter=path, base=tmp_path / "base", merge=True)
    shared = hu.load_model(adapter=path, base=base)
    assert model.one_step.takes_reference
    assert not model.one_step.unet_adapters
    assert not model.one_step.codec.adapters
    states = base.text.encode("x")
    difference = model.one_step.denoise(latent(), states) - shared.one_step.denoise(latent(), states)
    assert difference.abs().max() < 1e-3
    assert hu.restore(picture(), shared, scale=2).image.shape == (1, 3, 32, 32)
    assert base.unet.conv_in.weight.shape[1] == 4


def test_file_is_whole(base: Base, tmp_path: Path) -> None:
    path = saved(base, tmp_path)
    unet, vae, record = headsup_adapters(base)
    layers = record.layers
    assert layers is not None
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["record"])
    assert header["base"] == "Stable Diffusion 2.1-base"
    assert header["rank"] == 4
    assert header["unet_layers"] == list(unet.paths)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.safetensors"]
    with raises_naming(hu.ModelFileError, "adapter", "Stable Diffusion 2.1-base"):
        hu.load_model(path)
    for wrong, *named in (
        (replace(record, layers=replace(layers, rank=8)), 4, 2, 8),
        (replace(record, layers=replace(layers, alpha=4.0)), "alpha", 4),
        (replace(record, layers=replace(layers, vae_layers=("encoder.conv_in",))), "vae_layers"),
    ):
        with raises_naming(ValueError, *named):
            save_headsup_adapter(tmp_path / "wrong.safetensors", unet, vae, wrong)
    with raises_naming(ValueError, "conv_in.weight"):
        save_headsup_adapter(tmp_path / "wrong.safetensors", type(unet)(dict(unet.items())), vae, record)


def _set(name: str, value: torch.Tensor | None) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(tensors: dict[str, Any], record: dict[str, Any]) -> None:
        del record
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("unet.conv_in.weight", None), ("unet.conv_in.weight", "(32, 9, 3, 3)")),
        (_set("unet.conv_in.weight", torch.zeros(32, 4, 3, 3)), ("(32, 4, 3, 3)", "(32, 9, 3, 3)")),
        (_set("unet.conv_in.bias", torch.full((32,), torch.nan)), ("unet.conv_in.bias", "NaN")),
        (_set("vae.encoder.conv_in.lora_B.weight", None), ("encoder.conv_in",)),
        (_set("unet.conv_out.lora_A.weight", torch.zeros(3, 32, 3, 3)), ("(4, 32, 3, 3)", 4)),
        (lambda tensors, record: record["unet_layers"].append("more.conv"), ("unet.more.conv",)),
        (lambda tensors, record: record.update(rank="4"), ("rank", "'4'")),
        (lambda tensors, record: record.update(no_reference="none"), ("no_reference", "'none'")),
        (lambda tensors, record: record.update(other=1), ("other",)),
        (lambda tensors, record: record.pop("vae_layers"), ("vae_layers",)),
    ],
)
def test_broken_files_say_what_was_expected(base: Base, tmp_path: Path, change: Any, named: tuple[object, ...]) -> None:
    path = saved(base, tmp_path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    record = json.loads(metadata["record"])
    change(tensors, record)
    save_file(tensors, path, {**metadata, "record": json.dumps(record)})
    with raises_naming(hu.ModelFileError, *named):
        hu.load_model(adapter=path, base=base)


def test_newer_file_is_refused(base: Base, tmp_path: Path) -> None:
    path = saved(base, tmp_path)
    save_file(load_file(path), path, {"format": "headsup-adapter", "format_version": "2"})
    with raises_naming(hu.ModelFileError, 2, 1):
        hu.load_model(adapter=path, base=base)
