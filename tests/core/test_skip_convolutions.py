"""Skip connections of the VAE in S3Diff files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming
from harness.systems import picture, s3diff_file

import headsup_core as hu
from headsup_core.imaging.tile_plan import plan_tiles
from headsup_core.models.bases.base import Base
from headsup_core.models.codecs.codec import Codec
from headsup_core.models.lora.branches import attached
from headsup_core.models.one_step import Observation


def load(base: Base, folder: Path) -> tuple[hu.HeadsUpModel, Observation, dict[str, Any]]:
    content = s3diff_file(base, folder, skips=True)
    model = hu.load_model(adapter=folder / "s3diff.pkl", base=base)
    assert model.one_step.observer is not None
    return model, model.one_step.observer.observe(picture(), picture()), content["state_dict_vae"]


@torch.no_grad()
def test_decoder_adds_the_encoders_activations(base: Base, tmp_path: Path) -> None:
    model, seen, tensors = load(base, tmp_path)
    codec, vae = model.one_step.codec, base.vae
    latent = codec.encode_posterior(picture(), seen.encoder)[0]
    found = codec.decode_with_skips(latent, picture(), seen.encoder)

    kept = []
    with attached(vae, codec.adapters, seen.encoder):
        x = vae.encoder.conv_in(picture() * 2 - 1)
        for block in vae.encoder.down_blocks:
            kept.append(x)
            x = block(x)
    y = vae.decoder.mid_block(vae.decoder.conv_in(vae.post_quant_conv(latent / vae.config.scaling_factor)))
    for number, block in enumerate(vae.decoder.up_blocks):
        weight = tensors[f"decoder.skip_conv_{number + 1}.weight"][:, :, 0, 0]
        y = block(y + torch.einsum("oi,bihw->bohw", weight, kept[-1 - number]), None)
    y = vae.decoder.conv_out(vae.decoder.conv_act(vae.decoder.conv_norm_out(y)))
    assert (found - (y + 1) / 2).abs().max() < 1e-5
    assert (found - codec.decode(latent)).abs().max() > 0.01
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in vae.modules())


def test_each_tile_sees_its_own_part_of_the_picture(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, _ = load(base, tmp_path)
    seen: list[torch.Tensor] = []
    decode = Codec.decode_with_skips

    def spy(self: Codec, latent: torch.Tensor, image: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(image)
        return decode(self, latent, image, *others)

    monkeypatch.setattr(Codec, "decode_with_skips", spy)
    photo = torch.rand(1, 3, 48, 32, generator=torch.Generator().manual_seed(8))
    result = hu.restore(photo, model, scale=1, tile=24, overlap=8, tile_batch=1)
    plan = plan_tiles(24, 16, 12, 4, 2)
    assert len(plan.tiles) == len(seen) == result.report.tiles > 2
    assert all(torch.equal(tile.scaled(2).crop(photo), image) for tile, image in zip(plan.tiles, seen, strict=True))


FIRST, SECOND, THIRD = (f"decoder.skip_conv_{number}.weight" for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop(SECOND), (1, 2, SECOND)),
        (lambda t: t.update({FIRST: torch.zeros(8, 32, 1, 1)}), (FIRST, "(8, 32, 1, 1)", "(32, 32, 1, 1)")),
        (lambda t: t[FIRST].fill_(torch.nan), (FIRST, "NaN")),
        (lambda t: t.update({THIRD: torch.zeros(1)}), (THIRD,)),
    ],
)
def test_broken_skips_name_the_key(base: Base, tmp_path: Path, change: Any, named: tuple[object, ...]) -> None:
    content = s3diff_file(base, tmp_path, skips=True)
    change(content["state_dict_vae"])
    torch.save(content, tmp_path / "s3diff.pkl")
    with raises_naming(hu.ModelFileError, *named):
        hu.load_model(adapter=tmp_path / "s3diff.pkl", base=base)
