"""PiSA-SR."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.system_checks import assert_loads_correctly
from harness.systems import latent, merged, pisasr_file

import headsup_core as hu
from headsup_core.models.bases.base import Base


@torch.no_grad()
def test_pisasr_loads_correctly(base: Base, tmp_path: Path) -> None:
    path, pixel, semantic = pisasr_file(base, tmp_path)
    both = merged(merged(base.unet, pixel, 2.0), semantic, 1.0)
    states = base.text.encode("")
    model = assert_loads_correctly(
        base, path, "pisasr", lambda _: latent() - both(latent(), 1, encoder_hidden_states=states).sample
    )
    assert len(model.passes) == 1, "equal lambdas are one call of the UNet"


@pytest.mark.parametrize(("pix", "sem"), [(1.0, 1.0), (1.0, 0.6), (0.5, 1.5), (1.0, 0.0)])
@torch.no_grad()
def test_pisasr_mixes_both_adapters(base: Base, tmp_path: Path, pix: float, sem: float) -> None:
    path, pixel, semantic = pisasr_file(base, tmp_path)
    model = hu.load_model(adapter=path, base=base, lambda_pix=pix, lambda_sem=sem).one_step
    states = base.text.encode("")
    only = merged(base.unet, pixel, 2.0)
    both = merged(only, semantic, 1.0)
    e_pix = only(latent(), 1, encoder_hidden_states=states).sample
    e_both = both(latent(), 1, encoder_hidden_states=states).sample
    expected = latent() - (pix * e_pix + sem * (e_both - e_pix))
    assert torch.equal(model.prompt.embeddings(None), states)
    assert (model.denoise(latent(), states) - expected).abs().max() < 1e-4
