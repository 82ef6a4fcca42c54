"""HYPIR on Stable Diffusion 2.1."""

from __future__ import annotations

from pathlib import Path

import torch
from harness.system_checks import assert_loads_correctly
from harness.systems import SUFFIXES, alpha_bar, hypir_file, latent, low_rank, matching, merged

import headsup_core as hu
from headsup_core.imaging.published import BicubicSizing
from headsup_core.models.bases.base import Base
from headsup_core.models.one_step import OneStepModel


@torch.no_grad()
def test_hypir_loads_correctly(base: Base, tmp_path: Path) -> None:
    tensors = low_rank(base.unet, matching(base.unet, SUFFIXES), 6, "default", 1)  # as `hypir_file` draws them

    def by_hand(model: OneStepModel) -> torch.Tensor:
        states = model.prompt.embeddings(None)
        noise = merged(base.unet, tensors, 1.0)(latent(), 200, encoder_hidden_states=states).sample
        return (latent() - (1 - alpha_bar(200)) ** 0.5 * noise) / alpha_bar(200) ** 0.5

    model = assert_loads_correctly(base, hypir_file(base, tmp_path), "hypir", by_hand)
    assert model.default_color_fix == "wavelet"
    assert "NON-COMMERCIAL" in model.card.licence
    assert model.size_rule.minimum == 512


def test_patch_size_is_the_least_side_of_both_sizings(base: Base, tmp_path: Path) -> None:
    model = hu.load_model(adapter=hypir_file(base, tmp_path), base=base, patch_size=128).one_step
    assert model.size_rule.minimum == 128
    assert model.published == BicubicSizing(128)
