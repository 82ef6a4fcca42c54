"""OSEDiff and OSEDiff-Face."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from harness.system_checks import assert_loads_correctly
from harness.systems import alpha_bar, latent, merged, osediff_file, picture

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.one_step import OneStepModel


@torch.no_grad()
def test_osediff_loads_correctly(base: Base, tmp_path: Path) -> None:
    path = osediff_file(base, tmp_path)
    content = torch.load(path, weights_only=True)
    states = base.text.encode("cat, dog, sharp,")

    def by_hand(_: OneStepModel) -> torch.Tensor:
        unet = copy.deepcopy(base.unet)
        unet.conv_in.weight.copy_(content["state_dict_unet"]["conv_in.base_layer.weight"])
        unet.conv_in.bias.copy_(content["state_dict_unet"]["conv_in.base_layer.bias"])
        noise = merged(unet, content["state_dict_unet"], 8 / 4)(latent(), 999, encoder_hidden_states=states).sample
        return (latent() - (1 - alpha_bar(999)) ** 0.5 * noise) / alpha_bar(999) ** 0.5

    model = assert_loads_correctly(
        base, path, "osediff", by_hand, found=lambda model: model.denoise(latent(), states)
    )
    assert torch.equal(model.prompt.embeddings("sharp", "cat, dog"), states)
    vae = merged(base.vae, content["state_dict_vae"], 8 / 2)
    expected = vae.encode(picture() * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    assert (model.codec.encode(picture()) - expected).abs().max() < 1e-4
    assert model.default_color_fix == "adain"


def test_osediff_face_is_told_by_its_name(base: Base, tmp_path: Path) -> None:
    plain = osediff_file(base, tmp_path)
    face = plain.rename(tmp_path / "OSEDiff_Face.pkl")
    found = hu.load_model(adapter=face, base=base)
    assert (found.one_step.system, found.one_step.scale) == ("osediff-face", 1)
    assert found.one_step.default_color_fix == "none"
    assert hu.restore(picture(), found).image.shape == (1, 3, 16, 16)
    assert hu.load_model(adapter=face, base=base, system="osediff").one_step.scale == 4
    plain = osediff_file(base, tmp_path)
    assert hu.load_model(adapter=plain, base=base).one_step.system == "osediff"
    named = hu.load_model(adapter=plain, base=base, system="osediff-face")
    # published: a small face is enlarged to process_size, here 24, and stays so
    sized = hu.load_model(adapter=plain, base=base, system="osediff-face", process_size=24)
    assert hu.restore(picture(), sized, sizing="published").image.shape == (1, 3, 24, 24)
    assert named.card.name == "OSEDiff-Face"
