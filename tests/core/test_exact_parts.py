"""Encoder and decoder over parts of a picture give what they give for the whole; the published tiling does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from harness.allocations import peak_allocated
from harness.images import picture as formula
from harness.published_tiling import gaussian_tiles, tiled_network
from harness.systems import osediff_file, pisasr_file

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.codecs.exact_parts import ROOM, Parts, bytes_needed
from headsup_core.models.lora.branches import attached
from headsup_core.restoring import stages

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headsup_core.models.codecs.exact_parts.LEAST_SIDE", 8)


def photo(height: int = 128, width: int = 128) -> torch.Tensor:
    """Smooth on one side, noise on the other: the parts have different statistics."""
    smooth = formula(height, width).permute(0, 3, 1, 2)
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))
    return torch.where(torch.arange(width) < width // 2, smooth, noise)


@pytest.mark.parametrize("room", [0, 2**20, ROOM], ids=["computed again", "some stored", "all stored"])
@pytest.mark.parametrize(("height", "width", "side"), [(46, 70, 16), (64, 64, 30), (34, 34, 64)])
@torch.no_grad()
def test_parts_equal_the_whole(
    base: Base, tmp_path: Path, height: int, width: int, side: int, room: int
) -> None:
    codec = hu.load_model(adapter=osediff_file(base, tmp_path), base=base).one_step.codec
    calls: list[None] = []
    shares: list[float] = []
    parts = Parts(side, CPU, lambda: calls.append(None), shares.append, room)
    whole, whole_spread = codec.encode_posterior(photo(height, width))
    mean, spread = codec.encode_in_parts(photo(height, width), parts)
    assert (mean - whole).abs().max() < 1e-5
    assert (spread - whole_spread).abs().max() < 1e-5
    assert (codec.decode_in_parts(whole, parts) - codec.decode(whole)).abs().max() < 1e-5
    assert len(calls) > (100 if side < 64 else 20)
    assert shares == [0.5, 1.0] * 2


@pytest.mark.parametrize("maps", [1.0, 3.0])
@torch.no_grad()
def test_memory_is_what_is_asked_for(monkeypatch: pytest.MonkeyPatch, maps: float) -> None:
    """As many maps of full size as have room, and not a copy more."""
    widths, side, least = [32, 64, 64], 128, 16
    levels = {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3}
    vae = AutoencoderKL(block_out_channels=widths, latent_channels=4, layers_per_block=2, **levels).eval()
    room = int(maps * widths[0] * side * side * 4)
    monkeypatch.setattr("headsup_core.models.codecs.exact_parts.ROOM", room)
    monkeypatch.setattr("headsup_core.models.codecs.exact_parts.LEAST_SIDE", least)
    parts, needed = Parts(least, CPU, room=room), bytes_needed(vae, side, side)
    picture, latent = torch.rand(1, 3, side, side), torch.randn(1, 4, side // 4, side // 4)
    taken = max(
        peak_allocated(lambda: parts.encode(vae, picture)), peak_allocated(lambda: parts.decode(vae, latent))
    )
    assert room <= needed
    computing = 8 * widths[-1] * (least + 4) ** 2 * 4  # a part with its margins, in all its stages
    assert 0.85 * needed < taken < needed + computing


@torch.no_grad()
def test_half_precision_keeps_to_its_rounding(base: Base, tmp_path: Path) -> None:
    codec = hu.load_model(adapter=osediff_file(base, tmp_path), base=base).one_step.codec
    latent = codec.encode(photo())
    exact = codec.decode(latent)
    codec.vae = type(codec.vae).from_config(codec.vae.config).to(torch.bfloat16).requires_grad_(False)
    codec.vae.load_state_dict(base.vae.state_dict())
    whole = codec.decode(latent.bfloat16()).float()
    found = codec.decode_in_parts(latent.bfloat16(), Parts(32, CPU)).float()
    assert (found - exact).abs().mean() < 1.1 * (whole - exact).abs().mean() + 1e-4


@torch.no_grad()
def published(model: Any, base: Base, image: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """The published scripts' tiles: 32 px in the encoder, 16 latents in UNet (half shared) and decoder."""
    vae, scale = base.vae, base.vae.config.scaling_factor
    with attached(vae, model.codec.adapters):
        features = tiled_network(vae.encoder, image * 2 - 1, 32, 32, 1 / 2, decoder=False)
        latent = vae.quant_conv(features)[:, :4] * scale
    clean = gaussian_tiles(lambda tile: model.denoise(tile, prompt), latent, 16, 8)
    return (tiled_network(vae.decoder, vae.post_quant_conv(clean / scale), 16, 11, 2, decoder=True) + 1) / 2


@pytest.mark.parametrize("system", ["osediff", "pisasr"])
@torch.no_grad()
def test_tiled_is_nearer_to_the_whole_than_published(base: Base, tmp_path: Path, system: str) -> None:
    path = osediff_file(base, tmp_path) if system == "osediff" else pisasr_file(base, tmp_path)[0]
    model = hu.load_model(adapter=path, base=base)
    options = {"color_fix": "none", "overlap": 16}
    whole = hu.restore(photo(), model, scale=1, tile=128, **options).image
    ours = hu.restore(photo(), model, scale=1, tile=32, **options)
    theirs = published(model.one_step, base, photo(), model.one_step.prompt.embeddings(None)).clamp(0, 1)
    assert ours.report.tiles > 16
    errors = [(result - whole).abs() for result in (ours.image, theirs)]
    assert errors[0].mean() < errors[1].mean()
    assert errors[0].square().mean() < errors[1].square().mean()


@torch.no_grad()
def test_published_codec_is_not_the_whole_and_ours_is(base: Base) -> None:
    # without this, "nearer" could come from the UNet alone
    vae, x = base.vae, photo() * 2 - 1
    whole = vae.encoder(x)
    theirs = tiled_network(vae.encoder, x, 32, 32, 1 / 2, decoder=False)
    ours = Parts(32, CPU).encode(vae, x)
    assert (ours - vae.quant_conv(whole)).abs().max() < 1e-5
    assert (vae.quant_conv(theirs) - vae.quant_conv(whole)).abs().max() > 0.01


def test_independent_tiles_when_memory_does_not_do(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hu.load_model(adapter=pisasr_file(base, tmp_path)[0], base=base)
    parts = hu.restore(photo(), model, scale=1, tile=64, overlap=16)
    exact = parts.image
    assert "codec: exact over parts" in parts.report.text()
    with monkeypatch.context() as patch:
        patch.setattr(stages, "fits_in_parts", lambda *_: False)
        tiled = hu.restore(photo(), model, scale=1, tile=64, overlap=16)
    independent = tiled.image
    assert "codec: independent tiles, because exact parts need 0.0 GiB of main memory" in tiled.report.text()
    assert (independent - exact).abs().max() > 1e-3

    def full(*_: Any) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(Parts, "encode", full)
    monkeypatch.setattr(Parts, "decode", full)
    ran_out = hu.restore(photo(), model, scale=1, tile=64, overlap=16)
    assert torch.equal(ran_out.image, independent)
    assert "codec: independent tiles, because exact parts ran out of memory" in ran_out.report.text()


def test_other_errors_are_not_taken_for_want_of_memory(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hu.load_model(adapter=pisasr_file(base, tmp_path)[0], base=base)

    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("something else")

    monkeypatch.setattr(Parts, "encode", broken)
    with pytest.raises(RuntimeError, match="something else"):
        hu.restore(photo(), model, scale=1, tile=64, overlap=16)
