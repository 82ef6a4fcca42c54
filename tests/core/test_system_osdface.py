"""OSDFace: its visual prompt against formulas, and its one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.osdface import WrittenOut, dictionary_tensors, osdface_files, projection_tensors, shrink
from harness.refusals import raises_naming
from harness.system_checks import assert_loads_correctly, default_step
from harness.systems import alpha_bar, latent, merged, osediff_file, picture
from safetensors.torch import load_file, save_file

import headsup_core as hu
from headsup_core.faces import Face, Faces
from headsup_core.faces.alignment import template
from headsup_core.models.bases.base import Base
from headsup_core.models.one_step import Observation, OneStepModel
from headsup_core.models.systems.visual_prompt import VisualDictionary, VisualPrompt, nearest_entries
from headsup_core.restoring.tiling.aligned_crops import soft_square


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def face() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(6))


def test_tokens_are_unique_and_the_nearest_first() -> None:
    codebook = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 8.0], [50.0, 50.0]])
    places = torch.tensor([[3.0, 0.0], [0.0, 7.5], [0.0, 0.2], [4.0, 0.1], [0.0, 8.1]])
    # distances 1, .5, .2, .1, .1 (squared 1, .25, .04, .01, .01) to entries 1, 2, 0, 1, 2
    assert set(nearest_entries(places, codebook)[:2]) == {1, 2}
    assert nearest_entries(places[:4], codebook) == [1, 0, 2]
    assert nearest_entries(places[:1], codebook) == [1]


@torch.no_grad()
def test_visual_prompt_equals_formulas(base: Base, tmp_path: Path) -> None:
    model = hu.load_model(adapter=osdface_files(base, tmp_path), base=base).one_step
    assert isinstance(model.observer, VisualPrompt)
    dictionary = model.observer.dictionary
    tensors = dictionary_tensors()
    twice = (face() * 2 - 1) * 2 - 1
    places = WrittenOut(tensors).features(twice)
    assert (dictionary.quant_conv(dictionary.encoder(twice))[0].flatten(1).T - places).abs().max() < 1e-4

    codebook = tensors["quantize.embedding.weight"]
    distances = (places[:, None] - codebook[None]).square().sum(dim=2)
    order = sorted(range(len(places)), key=lambda place: float(distances[place].min()))
    seen: list[int] = []
    for place in order:
        entry = int(distances[place].argmin())
        if entry not in seen and len(seen) < 77:
            seen.append(entry)
    assert 20 < len(seen) <= 77
    tokens = torch.zeros(77, 16)
    tokens[: len(seen)] = codebook[seen]
    layers = projection_tensors(base)
    for name in ("conv1", "conv2"):
        tokens = F.silu(tokens @ layers[f"{name}.weight"][:, :, 0].T + layers[f"{name}.bias"])
    found = model.observer.observe(face(), face()).prompt
    assert found is not None
    assert found.shape == (1, 77, 16)
    assert (found[0] - tokens).abs().max() < 1e-5


@torch.no_grad()
def test_osdface_loads_correctly(base: Base, tmp_path: Path) -> None:
    path = osdface_files(base, tmp_path)
    tensors = {name.removeprefix("unet.").replace(".weight", ".x"): tensor for name, tensor in load_file(path).items()}

    def seen(model: OneStepModel) -> Observation:
        assert model.observer is not None
        return model.observer.observe(face(), face())

    def by_hand(model: OneStepModel) -> torch.Tensor:
        noise = merged(base.unet, tensors, 1.0)(latent(), 399, encoder_hidden_states=seen(model).prompt).sample
        return (latent() - (1 - alpha_bar(399)) ** 0.5 * noise) / alpha_bar(399) ** 0.5

    def found(model: OneStepModel) -> torch.Tensor:
        return model.denoise(latent(), model.prompt.embeddings(None), observation=seen(model))

    model = assert_loads_correctly(base, path, "osdface", by_hand, found=found)
    assert (default_step(model) - by_hand(model)).abs().max() > 0.01
    assert (model.scale, model.default_color_fix) == (1, "none")
    assert "none given" in model.card.licence


def test_aligned_face_becomes_the_trained_size_and_the_asked_size(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hu.load_model(adapter=osdface_files(base, tmp_path), base=base)
    sizes: list[Any] = []
    look = VisualDictionary.forward

    def spy(self: VisualDictionary, image: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(image.shape))
        return look(self, image)

    monkeypatch.setattr(VisualDictionary, "forward", spy)
    result = hu.restore(picture(), model, scale=3, prompt="a man")
    assert sizes == [(1, 3, 32, 32)]
    assert result.image.shape == (1, 3, 48, 48)
    assert "aligned faces of 32 px and was given no faces" in result.report.text()
    assert "the text was ignored" in result.report.text()
    published = hu.restore(picture(), model, scale=1, sizing="published")
    assert published.image.shape == (1, 3, 32, 32)
    assert torch.equal((published.image * 255).round() / 255, published.image)
    flat = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(2))
    assert hu.restore(flat, model, scale=1, sizing="published").image.shape == (1, 3, 16, 24)
    with raises_naming(hu.InputError, 20, 8):
        hu.restore(torch.zeros(1, 3, 20, 16), model, scale=1, sizing="published")


def found_at(*corners: tuple[float, float], size: int = 64, scale: float = 1.0) -> Faces:
    """Faces whose aligned crops of 32 px are upright and begin at these corners (x, y) of the enlarged picture."""
    faces = [
        Face((0.0, 0.0, 9.0, 9.0), template("ffhq", 32) + torch.tensor(corner), 1.0).scaled(1 / scale, 1 / scale)
        for corner in corners
    ]
    return Faces((tuple(faces),), size, size)


@pytest.mark.parametrize("scale", [1, 2])
def test_faces_are_cut_restored_and_laid_back(base: Base, tmp_path: Path, scale: int) -> None:
    model = hu.load_model(adapter=osdface_files(base, tmp_path), base=base)
    size = 64 // scale
    photo = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(7))
    result = hu.restore(photo, model, scale=scale, faces=found_at((10.0, 6.0), size=size, scale=scale))
    before = result.before
    cut = before[..., 6:38, 10:42]
    alone = hu.restore(cut, model, scale=1).image
    opacity = soft_square(32)
    assert opacity.max() == 1
    assert opacity[0, 0, 0].max() == 0
    expected = before.clone()
    expected[..., 6:38, 10:42] = cut + opacity * (alone - cut)
    assert (result.image - expected).abs().max() < 1e-4
    assert (result.image - before).abs().max() > 0.05
    assert "given no faces" not in result.report.text()


def test_what_cannot_be_done_with_faces_is_said(base: Base, tmp_path: Path) -> None:
    model = hu.load_model(adapter=osdface_files(base, tmp_path), base=base)
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    nobody = hu.restore(photo, model, scale=1, faces=Faces(((),), 64, 64))
    assert torch.equal(nobody.image, nobody.before)
    assert "no face was found" in nobody.report.text()
    with raises_naming(hu.InputError, 1, 2):
        hu.restore(photo.expand(2, -1, -1, -1), model, scale=1, faces=found_at((0.0, 0.0)))
    with raises_naming(hu.InputError, "sizing published", "faces"):
        hu.restore(photo, model, scale=1, faces=found_at((0.0, 0.0)), sizing="published")
    whole = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    plain = hu.restore(photo, whole, scale=1)
    given = hu.restore(photo, whole, scale=1, faces=found_at((0.0, 0.0)))
    assert torch.equal(plain.image, given.image)
    assert "tiles planned around 1 face" in given.report.text()


DICTIONARY, PROJECTION = "associate_2.ckpt", "embedding_change_weights.pth"


def _without(name: str) -> Any:
    return lambda content: content["state_dict"].pop(f"vqvae_LQ.{name}")


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        (DICTIONARY, None, DICTIONARY),
        (PROJECTION, None, PROJECTION),
        (DICTIONARY, _without("encoder.conv_in.weight"), "vqvae_LQ.encoder.conv_in.weight"),
        (DICTIONARY, _without("encoder.mid.attn_1.q.bias"), "vqvae_LQ.encoder.mid.attn_1.q.bias (64"),
        (DICTIONARY, _without("encoder.down.1.block.0.conv1.weight"), "down.1.block.0.conv1.weight"),
        (DICTIONARY, _without("quantize.embedding.weight"), "quantize.embedding.weight"),
        (DICTIONARY, lambda c: c["state_dict"]["vqvae_LQ.quant_conv.bias"].fill_(torch.nan), "quant_conv.bias"),
        (PROJECTION, lambda c: c.pop("conv2.bias"), "conv2.bias (16,)"),
        (
            PROJECTION,
            lambda c: c.update({"conv2.weight": torch.zeros(20, 8, 1), "conv2.bias": torch.zeros(20)}),
            "conv2.weight",
        ),
    ],
)
def test_broken_companions_are_named(base: Base, tmp_path: Path, name: str, change: Any, named: str) -> None:
    path = osdface_files(base, tmp_path)
    if change is None:
        (tmp_path / name).unlink()
    else:
        content = torch.load(tmp_path / name, weights_only=True)
        change(content)
        torch.save(content, tmp_path / name)
    with raises_naming(hu.ModelFileError, named):
        hu.load_model(adapter=path, base=base)


def test_ranks_must_agree(base: Base, tmp_path: Path) -> None:
    path = osdface_files(base, tmp_path)
    tensors = load_file(path)
    for side, shape in (("A", (3, 32, 3, 3)), ("B", (4, 3, 1, 1))):
        tensors[f"unet.conv_out.lora_{side}.weight"] = torch.zeros(shape)
    save_file(tensors, path)
    with raises_naming(hu.ModelFileError, "[3, 5]"):
        hu.load_model(adapter=path, base=base)
