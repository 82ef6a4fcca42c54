from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.records import with_record, with_unet
from harness.refusals import raises_naming
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import headsup_core as hu
from headsup_core.models.building import build_model
from headsup_core.models.codecs.block_transform import BlockTransformAutoencoder, block_dct
from headsup_core.models.codecs.codec import Codec
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel, widen_conv_in
from headsup_core.models.prediction import Epsilon, LatentResidual
from headsup_core.models.record import ModelRecord


@pytest.mark.parametrize(
    ("timestep", "alpha_bar", "alpha", "beta"),
    [(999, 0.0046601, 0.068265, 0.997667), (399, 0.426086, 0.652753, 0.757571), (200, 0.753692, 0.868154, 0.496294)],
)
def test_epsilon_rule_has_the_published_constants(timestep: int, alpha_bar: float, alpha: float, beta: float) -> None:
    rule = Epsilon(timestep)
    assert rule.alpha_bar == pytest.approx(alpha_bar, rel=2e-5)
    latent, eps = torch.tensor([[[[1.5]]]]), torch.tensor([[[[0.25]]]])
    assert rule.x0(latent, eps).item() == pytest.approx((1.5 - beta * 0.25) / alpha, rel=1e-4)


def test_epsilon_rule_equals_diffusers_scheduler() -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    for timestep in (1, 200, 399, 999):
        assert Epsilon(timestep).alpha_bar == float(scheduler.alphas_cumprod[timestep])


def test_x0_is_computed_in_fp32_from_half_precision() -> None:
    latent = torch.tensor([[[[1.0]]]], dtype=torch.float16)
    assert LatentResidual().x0(latent, latent / 3).dtype == torch.float32
    x0 = Epsilon(999).x0(latent, latent / 3)
    assert x0.item() == pytest.approx((1 - 0.997667 * float(torch.tensor(1 / 3).half())) / 0.068265, rel=1e-4)


def test_widened_conv_in_copies_old_channels_and_starts_at_zero(toy_record: ModelRecord) -> None:
    narrow = build_model(with_unet(toy_record, in_channels=4))
    latent, prompt = torch.randn(2, 4, 8, 8), torch.randn(1, 1, 8)
    before = narrow.denoise(latent, prompt)
    weight = narrow.unet.conv_in.weight.clone()
    widen_conv_in(narrow.unet, 9)
    assert torch.equal(narrow.unet.conv_in.weight[:, :4], weight)
    assert not narrow.unet.conv_in.weight[:, 4:].any()
    assert narrow.takes_reference
    any_reference = narrow.denoise(latent, prompt, torch.randn(2, 4, 8, 8), torch.ones(2, 1, 8, 8))
    assert torch.allclose(any_reference, before, atol=1e-5)
    with raises_naming(ValueError, 9, 4):
        widen_conv_in(narrow.unet, 4)


def test_reference_channels_reach_the_unet(toy_model: OneStepModel) -> None:
    latent = torch.randn(1, 4, 8, 8)
    prompt = toy_model.prompt.embeddings(None)
    nothing = toy_model.denoise(latent, prompt)
    zeros = toy_model.denoise(latent, prompt, torch.zeros_like(latent), torch.zeros(1, 1, 8, 8))
    someone = toy_model.denoise(latent, prompt, torch.randn_like(latent), torch.ones(1, 1, 8, 8))
    assert torch.equal(nothing, zeros)
    assert not torch.allclose(nothing, someone, atol=1e-3)
    grey = with_record(toy_model, no_reference="encoded_zero_image").denoise(latent, prompt)
    encoded = toy_model.codec.encode(torch.full((1, 3, 32, 32), 0.5))
    assert torch.equal(grey, toy_model.denoise(latent, prompt, encoded, torch.zeros(1, 1, 8, 8)))


@pytest.mark.parametrize(("encoder", "decoder"), [([0, 1, 1], [1, 1, 0]), ([1, 2], [2, 1]), ([0, 0, 0], [0, 0, 0])])
def test_codec_radius_bounds_what_a_pixel_reaches(encoder: list[int], decoder: list[int]) -> None:
    from diffusers import AutoencoderTiny

    width = (8,) * len(encoder)
    torch.manual_seed(0)
    codec = Codec(
        AutoencoderTiny(
            encoder_block_out_channels=width,
            decoder_block_out_channels=width,
            num_encoder_blocks=tuple(encoder),
            num_decoder_blocks=tuple(decoder),
        ).double()
    )
    assert codec.receptive_radius is not None
    f, (encoder_radius, decoder_radius) = codec.factor, codec.receptive_radius
    image = torch.rand(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    latent = codec.encode(image)
    at = latent.shape[-1] // 2
    rows = _touched(torch.autograd.grad(latent[0, :, at, at].sum(), image)[0])
    assert 0 < max(at * f - rows[0], rows[-1] - (at * f + f - 1)) <= encoder_radius <= 2 * (rows[-1] - rows[0])
    seed = torch.randn(1, 4, 128 // f, 128 // f, dtype=torch.float64, requires_grad=True)
    picture = codec.decode(seed)
    rows = _touched(torch.autograd.grad(picture[0, :, 64, 64].sum(), seed)[0])
    assert 64 - decoder_radius <= rows[0] * f + f - 1
    assert rows[-1] * f <= 64 + decoder_radius
    assert decoder_radius <= f * (rows[-1] - rows[0] + 2)


def _touched(gradient: torch.Tensor) -> list[int]:
    """Rows that have any influence."""
    return torch.nonzero(gradient.abs().sum(dim=(0, 1, 3)))[:, 0].tolist()


def test_file_round_trip(toy_model: OneStepModel, toy_record: ModelRecord, tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model, torch.float32)
    loaded = hu.load_model(path).one_step
    latent = torch.randn(1, 4, 8, 8)
    prompt = loaded.prompt.embeddings(None)
    assert torch.equal(prompt, toy_model.prompt.embeddings(None))
    assert torch.allclose(loaded.denoise(latent, prompt), toy_model.denoise(latent, prompt), atol=1e-4)
    assert torch.allclose(loaded.codec.decode(latent), toy_model.codec.decode(latent), atol=1e-5)
    assert loaded.card == toy_record.card
    assert [p.name for p in tmp_path.iterdir()] == ["toy.safetensors"]
    assert path.stat().st_mode & 0o444 == 0o444
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "headsup"
    save_headsup(path, toy_model)
    half = load_file(path)
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}
    assert hu.load_model(path).one_step.dtype == torch.float32
    assert hu.load_model(path, dtype="bfloat16").one_step.dtype == torch.bfloat16


@pytest.fixture
def saved(toy_model: OneStepModel, tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model)
    return path


def _rewrite(path: Path, change: dict[str, torch.Tensor | None], **metadata: str) -> None:
    tensors: dict[str, Any] = load_file(path) | change
    with safe_open(path, "pt") as file:
        header = file.metadata() | metadata
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, header)


KEY = "unet.conv_in.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({KEY: None}, (1, "conv_in.weight (8, 9, 3, 3)")),
        ({"unet.extra": torch.zeros(1)}, (1, "extra")),
        ({KEY: torch.zeros(8, 4, 3, 3)}, ("conv_in.weight", "(8, 4, 3, 3)", "(8, 9, 3, 3)")),
        ({KEY: torch.full((8, 9, 3, 3), float("nan"))}, (648, "conv_in.weight", "NaN")),
        ({"prompt": None}, ("`prompt`",)),
    ],
)
def test_damaged_tensors_are_named(
    saved: Path, change: dict[str, torch.Tensor | None], named: tuple[object, ...]
) -> None:
    _rewrite(saved, change)
    with raises_naming(hu.ModelFileError, *named):
        hu.load_model(saved)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"format": "other"}, ("toy.safetensors",)),
        ({"format_version": "2"}, (2, 1)),
        ({"architecture": "{}"}, ("header",)),
        ({"architecture": "not json"}, ("header",)),
    ],
)
def test_damaged_header_is_named(saved: Path, metadata: dict[str, str], named: tuple[object, ...]) -> None:
    _rewrite(saved, {}, **metadata)
    with raises_naming(hu.ModelFileError, *named):
        hu.load_model(saved)


def test_header_of_a_monster_takes_no_memory(saved: Path, toy_record: ModelRecord) -> None:
    """A hostile header could ask for terabytes; it must fail on the tensors' shapes before anything is allocated."""
    import json

    monster = with_unet(toy_record, block_out_channels=[400_000, 800_000])
    _rewrite(saved, {}, architecture=json.dumps(monster.to_json()))
    with pytest.raises(hu.ModelFileError):
        hu.load_model(saved)


def test_truncated_empty_and_foreign_files(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) // 2])
    with raises_naming(hu.ModelFileError, saved.name):
        hu.load_model(saved)
    for name, content in [
        ("empty.safetensors", b""),
        ("text.safetensors", b"hello world, not a model"),
        ("text.pth", b"hello"),
        ("model.onnx", b"x"),
    ]:
        (tmp_path / name).write_bytes(content)
        with raises_naming(hu.ModelFileError, name):
            hu.load_model(tmp_path / name)
    with raises_naming(hu.ModelFileError, "missing.safetensors"):
        hu.load_model(tmp_path / "missing.safetensors")
    with raises_naming(hu.ModelFileError, tmp_path):
        hu.load_model(tmp_path)


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_pickle_that_runs_code_is_not_opened(tmp_path: Path, writer: str) -> None:
    target = tmp_path / "pwned"
    path = tmp_path / "evil.pkl"
    if writer == "torch":
        torch.save({"state_dict_unet": _Bomb(str(target))}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict_unet": _Bomb(str(target))}))
    with raises_naming(hu.ModelFileError, "evil.pkl", "pickle"):
        hu.load_model(path)
    assert not target.exists()


def test_names_do_not_leave_their_folder(tmp_path: Path, saved: Path) -> None:
    models = tmp_path / "models"
    (models / "headsup").mkdir(parents=True)
    host = hu.PlainHost("cpu", models)
    (models / "headsup" / "mine.safetensors").write_bytes(saved.read_bytes())
    assert hu.load_model("mine.safetensors", host=host).card.name == "toy"
    with raises_naming(hu.InputError, "../../toy.safetensors"):
        host.find_model("headsup", "../../toy.safetensors")
    with raises_naming(hu.ModelFileError, "other.safetensors", models / "headsup"):
        host.find_model("headsup", "other.safetensors")
    with raises_naming(hu.InputError, "float64", "auto", "float32"):
        hu.load_model(saved, dtype="float64")


def _block_codec() -> Codec:
    return Codec(BlockTransformAutoencoder(4, 8).double())


def test_block_transform_takes_gradients_after_somebody_ran_it_under_inference_mode() -> None:
    block_dct.cache_clear()
    with torch.inference_mode():
        block_dct(4)
    latent = torch.rand(1, 48, 2, 2, requires_grad=True)
    Codec(BlockTransformAutoencoder(4, 8)).decode(latent).sum().backward()
    assert latent.grad is not None


def test_block_transform_is_exact_and_orthonormal() -> None:
    kernels = block_dct(4).flatten(1).double()
    assert torch.allclose(kernels @ kernels.T, torch.eye(48, dtype=torch.float64), atol=1e-6)
    codec = _block_codec()
    assert (codec.factor, codec.channels) == (4, 48)
    image = torch.rand(2, 3, 24, 32, dtype=torch.float64)
    latent = codec.encode(image)
    assert latent.shape == (2, 48, 6, 8)
    assert torch.allclose(codec.decode(latent), image, atol=1e-6)


def test_block_transform_is_the_dct_low_frequencies_first() -> None:
    from scipy.fft import dctn

    image = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    latent = _block_codec().encode(image).flatten()
    grey = (image * 2 - 1).sum(dim=1)[0] / 3**0.5
    coefficients = torch.from_numpy(dctn(grey.numpy(), norm="ortho")) / 2
    assert latent[0] == pytest.approx(coefficients[0, 0].item(), abs=1e-6)
    assert latent[3] == pytest.approx(coefficients[0, 1].item(), abs=1e-6)
    assert latent[45] == pytest.approx(coefficients[3, 3].item(), abs=1e-6)
    flat = _block_codec().encode(torch.full((1, 3, 4, 4), 0.75, dtype=torch.float64)).flatten()
    assert torch.allclose(flat[1:], torch.zeros(47, dtype=torch.float64), atol=1e-6)


def test_block_transform_correction_reaches_no_further_than_its_radius() -> None:
    codec = _block_codec()
    with torch.no_grad():
        for parameter in codec.vae.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    assert codec.receptive_radius == (3, 6)
    latent = torch.randn(1, 48, 9, 9, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(codec.decode(latent)[0, :, 18, 18].sum(), latent)[0]
    rows = _touched(gradient)
    assert rows[0] * 4 + 3 >= 18 - 6
    assert rows[-1] * 4 <= 18 + 6
    with raises_naming(ValueError, "factor", 1, 2, 16):
        BlockTransformAutoencoder(1)
    deeper = BlockTransformAutoencoder(4, 8, refine_layers=5)
    assert deeper.receptive_radius == (3, 8)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in deeper.refine) == 5
    with raises_naming(ValueError, "refine_layers", 1, 2, 16):
        BlockTransformAutoencoder(4, 8, refine_layers=1)
