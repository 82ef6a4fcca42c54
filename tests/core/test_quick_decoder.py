"""`decoder=taesd`: the file of ComfyUI's previews decodes in place of Stable Diffusion's decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from harness.systems import osediff_file, s3diff_file
from harness.taesd import BLOCKS, taesd_tensors, with_eighth_vae

import headsup_core as hu
from headsup_core.benchmark.measuring.decoders import operations, their_sides
from headsup_core.host import Progress, TqdmProgress
from headsup_core.models.bases.base import Base
from headsup_core.models.systems import load_options


def decoded(tensors: dict[str, torch.Tensor], latent: torch.Tensor) -> torch.Tensor:
    """The decoder written out: a picture in 0..1 of scaled latents."""

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), padding=1)

    x = conv("1", torch.tanh(latent / 3) * 3).relu()
    number = 3
    for level, count in enumerate(BLOCKS):
        for _ in range(count):
            inner = conv(f"{number}.conv.2", conv(f"{number}.conv.0", x).relu()).relu()
            x = (conv(f"{number}.conv.4", inner) + x).relu()
            number += 1
        if level < len(BLOCKS) - 1:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            number += 1
        x = conv(str(number), x)
        number += 1
    return x


@pytest.fixture
def eighth(base: Base) -> Base:
    return with_eighth_vae(base)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models" / "vae_approx").mkdir(parents=True)
    return tmp_path / "models"


class Watching(hu.PlainHost):
    """Keeps the previews."""

    def __init__(self, models: Path) -> None:
        super().__init__("cpu", models, quiet=True)
        self.previews: list[torch.Tensor] = []

    def progress(self, total: int, description: str = "restoring") -> Progress:
        outer = self

        class Kept(TqdmProgress):
            def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
                super().advance(steps)
                outer.previews += [] if preview is None else [preview.clone()]

        return Kept(total, description, quiet=True)


def write(models: Path, name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    from safetensors.torch import save_file

    tensors = taesd_tensors()
    named = {prefix + key: tensor for key, tensor in tensors.items()}
    path = models / "vae_approx" / name
    if path.suffix == ".pth":
        torch.save(named, path)
    else:
        save_file(named, path)
    return tensors


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("taesd_decoder.pth", ""), ("taesd_decoder.safetensors", ""), ("taesd_decoder.safetensors", "taesd_decoder.")],
)
@torch.no_grad()
def test_the_file_of_previews_decodes(name: str, prefix: str, eighth: Base, models: Path, tmp_path: Path) -> None:
    tensors = write(models, name, prefix)
    host = Watching(models)
    adapter = osediff_file(eighth, tmp_path)
    model = hu.load_model(adapter=adapter, base=eighth, host=host, decoder="taesd").one_step
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(model.codec.decode(latent), decoded(tensors, latent), atol=1e-4, rtol=1e-4)
    own = hu.load_model(adapter=adapter, base=eighth, host=host).one_step
    assert torch.equal(model.codec.encode(torch.ones(1, 3, 32, 32)), own.codec.encode(torch.ones(1, 3, 32, 32)))
    assert own.codec.quick_decoder is None
    assert own.codec.vae is model.codec.vae, "the base is shared"


def test_previews_come_while_the_unet_runs(eighth: Base, models: Path, tmp_path: Path) -> None:
    write(models, "taesd_decoder.pth")
    host = Watching(models)
    model = hu.load_model(adapter=osediff_file(eighth, tmp_path), base=eighth, host=host, decoder="taesd")
    picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(4))
    options = {"scale": 4, "tile": 128, "overlap": 32, "color_fix": "none"}
    result = hu.restore(picture, model, host=host, **options)
    tiles = result.report.tiles
    assert tiles == 2
    assert [tuple(preview.shape) for preview in host.previews] == [(3, 128, 192)] * 2 * tiles
    seen = torch.stack([host.previews[tiles - 1].flatten(), host.previews[-1].clamp(0, 1).flatten()])
    assert float(torch.corrcoef(seen)[0, 1]) > 0.8, "the same picture, but for the blending of tiles"
    plain = hu.load_model(adapter=tmp_path / "osediff.pkl", base=eighth, host=host)
    host.previews.clear()
    hu.restore(picture, plain, host=host, **options)
    assert len(host.previews) < 2 * tiles


def test_what_cannot_be_is_refused(eighth: Base, base: Base, models: Path, tmp_path: Path) -> None:
    adapter, host = osediff_file(eighth, tmp_path), hu.PlainHost("cpu", models, quiet=True)
    with pytest.raises(hu.ModelFileError, match="vae_approx") as missing:
        hu.load_model(adapter=adapter, base=eighth, host=host, decoder="taesd")
    assert all(name in str(missing.value) for name in ("taesd_decoder.safetensors", "taesd_decoder.pth", str(models)))
    with pytest.raises(hu.ModelFileError):
        hu.load_model(adapter=adapter, base=eighth, decoder="taesd")
    tensors = write(models, "taesd_decoder.pth")
    with pytest.raises(hu.InputError, match="decoder own"):
        # a latent of this base is 2 px and not 8
        hu.load_model(adapter=osediff_file(base, tmp_path), base=base, host=host, decoder="taesd")
    adapter = osediff_file(eighth, tmp_path)
    with pytest.raises(hu.InputError, match="decoder"):
        hu.load_model("headsup-tiny", host=host, decoder="taesd")
    one = tensors["1.weight"]
    for damaged in ({"0.weight": one}, {"encoder": one}, tensors | {"1.bias": torch.ones(3)}):
        torch.save(damaged, models / "vae_approx" / "taesd_decoder.pth")
        with pytest.raises(hu.ModelFileError, match=r"taesd_decoder\.pth"):
            hu.load_model(adapter=adapter, base=eighth, host=host, decoder="taesd")


def test_skips_need_the_own_decoder(eighth: Base, models: Path, tmp_path: Path) -> None:
    write(models, "taesd_decoder.pth")
    s3diff_file(eighth, tmp_path, skips=True)
    with pytest.raises(hu.InputError, match="decoder own"):
        hu.load_model(
            adapter=tmp_path / "s3diff.pkl", base=eighth, host=hu.PlainHost("cpu", models), decoder="taesd"
        )


def test_it_is_an_option_of_every_adapter() -> None:
    field = load_options()["decoder"]
    assert (field.choices, field.default) == (("own", "taesd"), "own")


def test_operations_at_full_size() -> None:
    """A result of 512 px: OSEDiff publishes 2265 G multiply-additions for it (table 1)."""
    found = operations(512)
    theirs, own, quick = (found[name] for name in ("OSEDiff's own script", "decoder own", "decoder taesd"))
    assert theirs == own, "one tile is the whole picture"
    assert own.whole / 2 == pytest.approx(2.265, rel=0.1)
    assert (own.encoder, own.unet) == (quick.encoder, quick.unet)
    assert quick.decoder < 0.1 * own.decoder


def test_the_tiles_of_osediffs_script() -> None:
    """Its VAE by hand: 2048 px in tiles of 1024 with margins of 32, 256 latents in tiles of 224 with margins of 11."""
    assert their_sides(2048, 1024, 32) == [32 + 992 + 32, 32 + 992 + 32]  # from 0 and from 992 on
    assert their_sides(256, 224, 11) == [11 + 128 + 11, 128]  # from 0 and from 128 on, to the end
    assert their_sides(1088, 1024, 32) == [1088]
    assert their_sides(246, 224, 11) == [246]
