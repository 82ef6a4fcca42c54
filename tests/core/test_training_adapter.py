"""Training HeadsUp beside a diffusion model: two steps at reduced width, resumed, exported, loaded."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming
from harness.systems import base_folder, picture
from harness.training import CONFIGS, killed_after_a_checkpoint, people_folder

import headsup_core as hu
from headsup_core.errors import InputError, ModelFileError
from headsup_core.models.bases.base import Base, load_base
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.record import ModelCard, ModelRecord
from headsup_core.training.losses.companions import Restoration
from headsup_core.training.losses.differentiable_recognisers import MobileFaceNet
from headsup_core.training.restorer.objective import restore
from headsup_core.training.restorer.restorer_config import LossWeights, RestorerConfig, read_config
from headsup_core.training.restorer.restorer_networks import AdapterConfig
from headsup_core.training.restorer.restorer_samples import SourceConfig
from headsup_core.training.restorer.restorer_subject import RestorerSubject
from headsup_core.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def config(base: Base, tmp_path: Path, backbone: Path) -> RestorerConfig:
    """The paper's losses on the tiny base."""
    torch.manual_seed(0)
    torch.save(MobileFaceNet().state_dict(), tmp_path / "recogniser.pt")
    folder = people_folder(tmp_path)
    return RestorerConfig(
        architecture=None,
        adapter=AdapterConfig(prompt="a face", card=ModelCard("mine", "MIT", "toy people")),
        base=str(base_folder(base, tmp_path / "base")),
        sources=(SourceConfig(str(folder), 1.0, references="other_photo", whole_face=1.0),),
        degradations={"realesrgan": 1.0},
        lpips_backbone=str(backbone),
        recognisers=(str(tmp_path / "recogniser.pt"),),
        reference_drop=0.0,
        crop=64,
        face_side=64,
        sample_side=32,
        critic_width=4,
        batch=1,
        seed=1,  # whose first two samples show a whole face
        steps=2,
        codec_steps=0,
        lpips_from=0,
        warmup_steps=0,
        decay_steps=0,
        learning_rate=1e-2,
        workers=0,
        checkpoint_every=1,
        loss=LossWeights(l1=0, l2=1, lpips=2, codec=0, periodic=0, face=1, identity=4, adversarial=0.1, distillation=1),
    )


def test_two_steps_train_what_the_paper_trains(config: RestorerConfig, tmp_path: Path) -> None:
    trainer = Trainer(RestorerSubject, config, tmp_path / "run", CPU)
    before = {name: value.clone() for name, value in trainer.networks.state_dict().items()}
    base = (trainer.subject.model.unet, trainer.subject.model.codec.vae)
    frozen = [value.clone() for network in base for value in network.parameters()]
    conv_in = trainer.subject.model.unet_adapters[0].replacements()["conv_in.weight"]
    assert conv_in.shape[1] == 9
    assert not conv_in[:, 4:].any()
    assert torch.equal(conv_in[:, :4], trainer.subject.model.unet.get_parameter("conv_in.weight"))
    trainer.train()
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    terms = ("l2", "lpips", "face", "identity", "adversarial", "distillation", "adversarial_own", "distillation_own")
    assert len(rows) == 2
    assert all(math.isfinite(float(row[name])) for row in rows for name in terms)
    # plain faces have one embedding: nothing to tell apart
    assert all(float(row[name]) != 0 for row in rows for name in terms if name != "identity")
    assert (conv_in[:, 4:].abs().amax(dim=(0, 2, 3)) > 0).all()  # the reference's channels and the mask's
    after = trainer.networks.state_dict()
    still = [name for name, value in after.items() if torch.equal(value, before[name])]
    # a branch into an attention's keys has no gradient where all values are alike: nothing else stands still
    assert len(still) < 0.05 * len(after), still
    assert any(name.startswith("encoder.") for name in after)
    same = [value for network in base for value in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, same, strict=True))


@torch.no_grad()
def test_exported_adapter_restores_a_picture_and_starts_the_next_stage(config: RestorerConfig, tmp_path: Path) -> None:
    small = replace(config, steps=1, loss=LossWeights(l1=0, l2=1, lpips=0, codec=0, periodic=0))
    trainer = Trainer(RestorerSubject, small, tmp_path / "run", CPU)
    with torch.enable_grad():
        trainer.train()
    path = tmp_path / "mine.safetensors"
    trainer.export(path)
    model = hu.load_model(adapter=path, base=config.base)
    assert (model.card.name, model.one_step.system, model.one_step.trained_size) == ("mine", "headsup", 64)
    one, mine = model.one_step, trainer.subject.averaged_model(trainer.average.module)
    random = torch.Generator().manual_seed(1)
    latent, reference = (torch.randn(1, 4, 8, 8, generator=random) for _ in range(2))
    mask = torch.ones(1, 1, 8, 8)
    states = one.prompt.embeddings(None)
    assert torch.allclose(states, mine.prompt.embeddings(None), atol=1e-5)
    assert torch.allclose(
        one.denoise(latent, states, reference, mask), mine.denoise(latent, states, reference, mask), atol=1e-4
    )
    assert torch.allclose(one.codec.encode(picture()), mine.codec.encode(picture()), atol=1e-6)
    base = load_base(Path(config.base))
    plain = base.vae.encode(picture() * 2 - 1).latent_dist.mean * base.vae.config["scaling_factor"]
    assert not torch.allclose(one.codec.encode(picture()), plain, atol=1e-5)
    restored = hu.restore(picture(), model, scale=2).image
    assert restored.shape == (1, 3, 32, 32)
    assert restored.isfinite().all()

    second = Trainer(RestorerSubject, replace(small, init=str(path)), tmp_path / "second", CPU)
    expected = trainer.average.module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.networks.state_dict().items())
    wrong = replace(small, init=str(path), adapter=replace(small.adapter or AdapterConfig(), rank=2))
    with raises_naming(ModelFileError, path.name):
        Trainer(RestorerSubject, wrong, tmp_path / "third", CPU)
    with raises_naming(ModelFileError, Path(config.lpips_backbone).name):
        Trainer(RestorerSubject, replace(small, init=config.lpips_backbone), tmp_path / "third", CPU)


def test_resumed_with_gradient_checkpointing_it_is_the_same_run(config: RestorerConfig, tmp_path: Path) -> None:
    """The companions' networks and optimizers come back; computing activations anew changes nothing."""
    config = replace(config, crop=32, face_side=32)  # attention over a quarter of the places
    whole = Trainer(RestorerSubject, config, tmp_path / "whole", CPU)
    whole.train()
    broken = Trainer(RestorerSubject, replace(config, gradient_checkpointing=True), tmp_path / "broken", CPU)
    with killed_after_a_checkpoint():
        broken.train()
    resumed = Trainer(RestorerSubject, replace(config, gradient_checkpointing=True), tmp_path / "broken", CPU)
    assert resumed.step == 1
    resumed.train()
    pairs = [(whole.networks, resumed.networks)]
    mine, others = whole.subject.learners, resumed.subject.learners
    assert set(mine) == {"adversarial", "distillation"}
    pairs += [(mine[name].network, others[name].network) for name in mine]
    for one, other in pairs:
        expected = one.state_dict()
        for name, value in other.state_dict().items():
            assert torch.allclose(value, expected[name], atol=1e-5), name


def test_what_a_training_needs_is_said(config: RestorerConfig, toy_record: ModelRecord, tmp_path: Path) -> None:
    for wrong, *named in (
        (replace(config, adapter=None), "architecture", "adapter"),
        (replace(config, architecture=toy_record), "architecture", "adapter"),
        (replace(config, base=""), "base"),
        (replace(config, adapter=None, architecture=toy_record), "loss.distillation"),
        (replace(config, recognisers=()), "loss.identity", 4, "recogniser"),
    ):
        with raises_naming(InputError, *named):
            Trainer(RestorerSubject, wrong, tmp_path / "run", CPU)


@pytest.mark.parametrize(("stage", "portraits"), [("1", (0.15, 0.05)), ("2", (1.5, 0.5))])
def test_shipped_configurations_are_the_papers(stage: str, portraits: tuple[float, float], tmp_path: Path) -> None:
    path = CONFIGS / f"headsup-sd21-stage{stage}.yaml"
    config = read_config(path, None, tmp_path)
    assert [source.ratio for source in config.sources] == [*portraits, 1.7, 0.3]
    assert (config.crop, config.learning_rate, config.reference_drop) == (1024, 5e-5, 0.2)
    assert config.steps == {"1": 40_000, "2": 110_000}[stage]
    assert config.adapter is not None
    assert (config.adapter.rank, config.adapter.alpha, config.adapter.timestep) == (4, 8, 999)
    loss = config.loss
    assert (loss.l2, loss.lpips, loss.distillation) == (1, 2, 1)
    assert (loss.face, loss.face_lpips, loss.identity) == (1, 0.8, 4)
    assert (config.distillation.guidance, config.distillation.low, config.distillation.high) == (7.5, 20, 980)
    assert Path(config.base).is_relative_to(tmp_path)
    assert {source.references for source in config.sources} == {"other_photo_or_none", "none"}
    assert config.init == ""  # stage 2 continues the run of stage 1
    assert all(Path(file).is_relative_to(tmp_path) for file in (config.tagger, config.dape, config.teacher))


def test_a_second_stage_goes_on_with_everything_that_the_first_learned(config: RestorerConfig, tmp_path: Path) -> None:
    first = Trainer(RestorerSubject, replace(config, steps=1), tmp_path / "first", CPU)
    first.train()
    second = Trainer(RestorerSubject, replace(config, learning_rate=3e-3), tmp_path / "second", CPU, tmp_path / "first")
    assert second.step == 0
    pairs = [(first.networks, second.networks), (first.average, second.average)]
    mine, taken = first.subject.learners, second.subject.learners
    pairs += [(mine[name].network, taken[name].network) for name in ("adversarial", "distillation")]
    for one, other in pairs:
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())
    for one, other in ((first.optimizer, second.optimizer), *((mine[n].optimizer, taken[n].optimizer) for n in mine)):
        before, after = one.state_dict()["state"], other.state_dict()["state"]
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key]["exp_avg"], after[key]["exp_avg"]) for key in before)
    second.train()
    assert second.step == 2
    third = Trainer(RestorerSubject, config, tmp_path / "second", CPU, tmp_path / "first")
    assert third.step == 2  # the run's own checkpoint comes first


def test_what_cannot_be_continued_is_refused(config: RestorerConfig, tmp_path: Path) -> None:
    small = replace(config, steps=1, loss=LossWeights(l1=1, l2=0, lpips=0, codec=0, periodic=0))
    Trainer(RestorerSubject, small, tmp_path / "first", CPU).train()
    other = replace(small, adapter=replace(small.adapter or AdapterConfig(), rank=2))
    with pytest.raises(InputError) as caught:
        Trainer(RestorerSubject, other, tmp_path / "second", CPU, tmp_path / "first")
    assert str(tmp_path / "first") in str(caught.value)
    with pytest.raises(InputError):
        Trainer(RestorerSubject, small, tmp_path / "third", CPU, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_adapter_stores_what_the_configuration_sets(config: RestorerConfig, tmp_path: Path) -> None:
    settings = {
        "scale": 2, "trained_eyes": (20.0, 200.0), "minimum_side": 96, "margin": 16, "default_color_fix": "lab",
        "no_reference": "encoded_zero_image", "reference_placement": "warped", "trained_size": 512, "timestep": 399,
    }  # fmt: skip
    adapter = AdapterConfig(card=ModelCard("mine", "MIT"), rule="latent_residual", **settings)
    small = replace(config, adapter=adapter, steps=1, loss=LossWeights(l1=1, lpips=0, codec=0, periodic=0))
    trainer = Trainer(RestorerSubject, small, tmp_path / "run", CPU)
    trainer.train()
    trainer.export(tmp_path / "mine.safetensors")
    record = hu.load_model(adapter=tmp_path / "mine.safetensors", base=config.base).one_step.record
    stored = {name: value for name, value in settings.items() if name != "timestep"}
    assert {name: getattr(record, name) for name in stored} == stored
    assert (record.rule.kind, record.rule.timestep) == ("latent_residual", 399)


@torch.no_grad()
def test_without_a_reference_the_model_is_trained_as_it_is_used(config: RestorerConfig, tmp_path: Path) -> None:
    adapter = replace(config.adapter or AdapterConfig(), no_reference="encoded_zero_image")
    small = replace(config, adapter=adapter, loss=LossWeights(l1=1, lpips=0, codec=0, periodic=0))
    model = Trainer(RestorerSubject, small, tmp_path / "run", CPU).subject.model
    conv_in = model.unet_adapters[0].replacements()["conv_in.weight"]
    conv_in[:, 4:8] = 0.1  # else the reference's channels count nothing yet
    batch = {
        "bad": picture(), "reference": torch.rand(1, 3, *picture().shape[-2:]), "has_reference": torch.zeros(1),
        "mask": torch.ones(1, 1, *picture().shape[-2:]),
    }  # fmt: skip
    latent = model.codec.encode(batch["bad"])
    grey = model.codec.encode(torch.full_like(batch["bad"], 0.5))
    states = model.prompt.embeddings(None)
    expected = model.denoise(latent, states, grey, torch.zeros_like(latent[:, :1]))
    assert torch.allclose(restore(model, batch).latent, expected, atol=1e-5)
    zero = model.denoise(latent, states, torch.zeros_like(latent), torch.zeros_like(latent[:, :1]))
    assert not torch.allclose(expected, zero, atol=1e-3)


def test_texts_beside_the_photos_reach_the_model_and_the_distillation(config: RestorerConfig, tmp_path: Path) -> None:
    """The bad picture's words with the configured text behind them, and the good picture's words alone."""
    folder = Path(config.sources[0].folder)
    for photo in folder.glob("*.png"):
        (folder / f"{photo.stem}.txt").write_text("red square")
        (folder / f"{photo.stem}.lq.txt").write_text("blur")
    trainer = Trainer(RestorerSubject, replace(config, steps=1), tmp_path / "run", CPU)
    base = trainer.subject.learners["distillation"]
    heard: dict[str, list[torch.Tensor]] = {"model": [], "distillation": []}
    term = base.term

    def listening(restored: Restoration, chance: torch.Generator) -> torch.Tensor | None:
        assert restored.prompts is not None
        heard["distillation"].append(restored.prompts)
        return term(restored, chance)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "term", listening)
        patch.setattr(OneStepModel, "denoise", _noting(heard["model"], OneStepModel.denoise))
        trainer.train()
    states = load_base(Path(config.base)).text
    assert torch.allclose(heard["model"][0], states.encode("blur, a face,")[None], atol=1e-5)
    assert torch.allclose(heard["distillation"][0], states.encode("red square"), atol=1e-5)


def _noting(heard: list[torch.Tensor], denoise: Any) -> Any:
    def noting(model: OneStepModel, latent: torch.Tensor, prompt: torch.Tensor, *rest: Any, **more: Any) -> Any:
        heard.append(prompt)
        return denoise(model, latent, prompt, *rest, **more)

    return noting
