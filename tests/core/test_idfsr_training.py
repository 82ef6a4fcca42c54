"""Training IDFSR: prepared photos, samples, and a run that is killed and goes on."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from harness.refusals import raises_naming
from harness.training import killed_after_a_checkpoint
from PIL import Image

from headsup_core.cli import main
from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces.alignment import template
from headsup_core.faces.analyzer import FaceAnalyzer
from headsup_core.faces.registry import load_face_analyzer
from headsup_core.idfsr.idfsr_file import load_idfsr, save_idfsr
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork
from headsup_core.idfsr.pretraining.aligned_photos import AlignedPhoto, FaceSource, margin_of, prepare_photos
from headsup_core.idfsr.pretraining.face_samples import LOW, FaceDataset
from headsup_core.idfsr.pretraining.idfsr_config import IDFSRConfig
from headsup_core.idfsr.pretraining.idfsr_subject import IDFSRSubject, take_over
from headsup_core.models.file_formats.weights_files import write_safetensors
from headsup_core.training.data.degradation import degrade
from headsup_core.training.schedule import learning_rate
from headsup_core.training.trainer import Trainer

SIDE = 200
# eyes 40 px apart, upright
LANDMARKS = template("ffhq", 512) * (40 / 126) + torch.tensor([20.0, 15.0])
SMALL = IDFSRArchitecture(
    16, 8, (1, 2), (1, 2), 1, residuals=1, embedding=128, embedder="dlib_resnet_v1", token_width=8, style=8, time=8,
    groups=4, dropout=0.1,
)  # fmt: skip
COLOURS = {"a": (200, 40, 40), "b": (40, 200, 40)}


@pytest.fixture(scope="module")
def analyzer() -> FaceAnalyzer:
    return load_face_analyzer("dlib")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people, two photos each, with landmarks beside them; red and green, the second photo darker."""
    made = tmp_path / "people"
    made.mkdir()
    points = torch.zeros(94, 2)
    points[[0, 1, 55, 87, 93]] = LANDMARKS
    for person, colour in COLOURS.items():
        for photo, light in (("1", 1.0), ("2", 0.5)):
            Image.new("RGB", (SIDE, SIDE), tuple(int(c * light) for c in colour)).save(made / f"{person}_{photo}.png")
            text = "94\n" + "\n".join(f"{x} {y}" for x, y in points.tolist())
            (made / f"{person}_{photo}.tem").write_text(text)
    return made


def photo(person: str, light: int, embedding: torch.Tensor, width: int = 42) -> AlignedPhoto:
    edge = margin_of(width)
    wide = np.full((width, width, 3), light, dtype=np.uint8)
    return AlignedPhoto(person, wide, template("ffhq", width - 2 * edge) + edge, embedding)


def test_photos_are_prepared_once_and_anew_when_asked_otherwise(
    folder: Path, tmp_path: Path, analyzer: FaceAnalyzer
) -> None:
    stored = tmp_path / "photos.safetensors"
    source = FaceSource(str(folder), 1.0)
    made = prepare_photos([source], 32, analyzer, None, stored)
    assert [one.person for one in made[0]] == ["a", "a", "b", "b"]
    assert made[0][0].wide.shape == (42, 42, 3)
    assert made[0][0].aligned.shape == (32, 32, 3)
    on_template = made[0][0].landmarks - 5
    # the annotation's nose lies a little higher than the template's
    assert (on_template - template("ffhq", 32)).abs().max() < 1
    assert made[0][0].embedding.norm().item() == pytest.approx(1, abs=1e-4)
    written = stored.stat().st_mtime_ns
    again = prepare_photos([source], 32, analyzer, None, stored)
    assert stored.stat().st_mtime_ns == written
    for one, other in zip(made[0], again[0], strict=True):
        assert np.array_equal(one.wide, other.wide)
        assert torch.equal(one.landmarks, other.landmarks)
        assert torch.equal(one.embedding, other.embedding)
        assert one.person == other.person
    held = prepare_photos([replace(source, hold_out=2)], 32, analyzer, None, stored)
    assert [one.person for one in held[0]] == ["b", "b"]
    for path in folder.glob("*.tem"):
        path.unlink()
    with raises_naming(InputError, folder):
        prepare_photos([source], 32, analyzer, lambda image: None, tmp_path / "other.safetensors")


def test_a_sample_shows_one_person_twice() -> None:
    people = torch.eye(4)
    photos = [
        photo("a", 200, people[0]),
        photo("a", 100, people[1]),
        photo("b", 20, people[2]),
    ]
    source = FaceSource("here", 1.0, references="other_photo")
    truth, reference = (
        FaceDataset([source], [photos], {"x8-clean": 1.0}, 16, 40, seed=0, embedding_from=which)
        for which in ("truth", "reference")
    )
    seen: set[tuple[int, int]] = set()
    for index in range(40):
        sample = truth[index]
        assert all(torch.equal(value, truth[index][name]) for name, value in sample.items())
        assert sample["good"].shape == sample["low"].shape == sample["placed"].shape == (3, 16, 16)
        assert sample["mask"].shape == (1, 16, 16)
        light = round(float(sample["good"].mean()) * 255)
        shown = int(sample["embedding"].argmax())
        assert light == (200, 100, 20)[shown]
        seen.add((shown, int(reference[index]["embedding"].argmax())))
    # b has one photo: an altered copy of itself, and so its own embedding
    assert seen == {(0, 1), (1, 0), (2, 2)}


def test_the_mask_and_the_reference_lie_on_the_face() -> None:
    source = FaceSource("here", 1.0)
    bright = photo("a", 230, torch.ones(2))
    dataset = FaceDataset([source], [[bright]], {"x4-clean": 1.0}, 32, 5, seed=0, jitter=0.0)
    for index in range(5):
        sample = dataset[index]
        inside = sample["mask"][0] > 0.99
        assert inside[19, 16]  # the nose
        assert not sample["mask"][0, 0].any()  # above the hair
        assert torch.equal(sample["placed"][:, sample["mask"][0] == 0].unique(), torch.tensor([0.5]))
        assert (sample["placed"][:, inside].mean() - 0.5).abs() > 0.1


def test_a_clean_lr_is_reduced_and_nothing_else() -> None:
    picture = torch.full((1, 3, 32, 32), 0.3)
    for scale in (4, 8, 16):
        low = degrade(picture, LOW[f"x{scale}-clean"], 3)
        assert low.shape[-1] == 32 // scale
        assert torch.allclose(low, torch.tensor(0.3), atol=1 / 255)


def config(folder: Path, **changes: Any) -> IDFSRConfig:
    fields: dict[str, Any] = {
        "architecture": SMALL,
        "sources": (FaceSource(str(folder), 1.0, references="other_photo"),),
        "low": {"x8-clean": 1.0},
        "batch": 2,
        "steps": 4,
        "checkpoint_every": 2,
        "sample_every": 4,
    }
    return IDFSRConfig(**(fields | changes))


def test_prepared_photos_take_no_memory_and_are_missed(folder: Path, tmp_path: Path, analyzer: FaceAnalyzer) -> None:
    stored = tmp_path / "photos.safetensors"
    made = prepare_photos([FaceSource(str(folder), 1.0)], 32, analyzer, None, stored)
    assert isinstance(made[0][2].wide, np.memmap)
    assert (stored.with_suffix(".0.pixels")).stat().st_size == 4 * 42 * 42 * 3
    assert made[0][2].wide.mean(axis=(0, 1)).argmax() == 1  # b is green
    stored.with_suffix(".0.pixels").write_bytes(b"")
    with raises_naming(InputError, "photos.0.pixels", 4 * 42 * 42 * 3):
        prepare_photos([FaceSource(str(folder), 1.0)], 32, analyzer, None, stored)


def test_checkpointed_blocks_learn_the_same(folder: Path, tmp_path: Path) -> None:
    runs = [
        Trainer(
            IDFSRSubject,
            config(folder, steps=1, sample_every=9, gradient_checkpointing=less_memory),
            tmp_path / str(less_memory),
            torch.device("cpu"),
        )
        for less_memory in (False, True)
    ]
    for run in runs:
        run.train()
    one, other = (run.networks.state_dict() for run in runs)
    assert all(torch.allclose(value, other[name], atol=1e-6) for name, value in one.items())


def test_faces_that_a_step_believes_in_are_judged(folder: Path, tmp_path: Path, backbone: Path) -> None:
    changes = {"architecture": replace(SMALL, size=64, predicts="residual"), "lpips": 0.5, "steps": 1}
    settings = config(folder, **changes, lpips_backbone=str(backbone))
    trainer = Trainer(IDFSRSubject, settings, tmp_path / "run", torch.device("cpu"))
    trainer.train()
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["lpips"]) > 0
    assert float(row["residual"]) > 0
    with raises_naming(InputError, "lpips", "noise"):
        config(folder, lpips=0.5, lpips_backbone=str(backbone))
    with raises_naming(InputError, "identity", "recogniser"):
        config(folder, architecture=changes["architecture"], identity=0.5)


def test_another_prediction_begins_with_a_new_last_layer(tmp_path: Path) -> None:
    network = IDFSRNetwork(SMALL)
    torch.nn.init.ones_(network.out[2].bias)
    save_idfsr(tmp_path / "noise.safetensors", IDFSRModel(network, SMALL))
    residual = IDFSRNetwork(replace(SMALL, predicts="residual"))
    assert take_over(residual, tmp_path / "noise.safetensors")
    assert not residual.out[2].bias.any()
    assert torch.allclose(residual.out[0].weight, network.out[0].weight)
    same = IDFSRNetwork(SMALL)
    take_over(same, tmp_path / "noise.safetensors")
    assert torch.allclose(same.out[2].bias, torch.ones(()))


def test_a_killed_run_goes_on_exactly(folder: Path, tmp_path: Path) -> None:
    whole = Trainer(IDFSRSubject, config(folder), tmp_path / "whole", torch.device("cpu"))
    start = {name: value.clone() for name, value in whole.networks.state_dict().items()}
    state = torch.get_rng_state()
    whole.train()
    assert torch.equal(state, torch.get_rng_state())
    assert any(not torch.equal(value, start[name]) for name, value in whole.networks.state_dict().items())

    killed = Trainer(IDFSRSubject, config(folder), tmp_path / "killed", torch.device("cpu"))
    with killed_after_a_checkpoint():
        killed.train()
    resumed = Trainer(IDFSRSubject, config(folder), tmp_path / "killed", torch.device("cpu"))
    assert resumed.step == 2
    resumed.train()
    for part in ("networks", "average"):
        own, other = getattr(resumed, part).state_dict(), getattr(whole, part).state_dict()
        assert all(torch.equal(value, other[name]) for name, value in own.items()), part
    with (tmp_path / "killed" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    with Image.open(tmp_path / "killed" / "samples" / "000004.png") as sheet:
        assert sheet.size == (5 * 16, 6 * 16)


def test_a_run_standardises_embeddings_and_exports_what_another_starts_from(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(IDFSRSubject, config(folder, steps=1), tmp_path / "run", torch.device("cpu"))
    trainer.train()
    trainer.export(tmp_path / "small.safetensors")
    model = load_idfsr(tmp_path / "small.safetensors")
    photos = prepare_photos(
        trainer.config.sources, 32, load_face_analyzer("dlib"), None, tmp_path / "run" / "photos.safetensors"
    )
    vectors = torch.stack([one.embedding for one in photos[0]])
    assert torch.allclose(model.network.identity_tokens.mean, vectors.mean(0), atol=1e-5)
    averaged = trainer.subject.averaged_model(trainer.average.module).network.state_dict()
    assert all(torch.allclose(value, averaged[name], atol=1e-3) for name, value in model.network.state_dict().items())
    larger = replace(SMALL, size=32)
    changes = {"architecture": larger, "init": str(tmp_path / "small.safetensors")}
    further = Trainer(IDFSRSubject, config(folder, **changes), tmp_path / "next", torch.device("cpu"))
    own = further.networks.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in model.network.state_dict().items())


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    with raises_naming(InputError, "'x9'", "x4-clean"):
        config(folder, low={"x9": 1.0})
    with raises_naming(InputError, "'both'", "truth", "reference"):
        config(folder, embedding_from="both")
    other = replace(SMALL, embedder="arcface")
    with raises_naming(InputError, "'arcface'", "'dlib_resnet_v1'"):
        Trainer(IDFSRSubject, config(folder, architecture=other), tmp_path / "run", torch.device("cpu"))
    wider = replace(SMALL, channels=16)
    save_idfsr(tmp_path / "wide.safetensors", IDFSRModel(IDFSRNetwork(wider), wider))
    start = config(folder, init=str(tmp_path / "wide.safetensors"))
    with raises_naming(ModelFileError, "wide.safetensors"):
        Trainer(IDFSRSubject, start, tmp_path / "run", torch.device("cpu"))


def test_the_learning_rate_rises_and_falls(folder: Path) -> None:
    settings = config(folder, steps=100, warmup_steps=10, decay_steps=50, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in (0, 9, 40, 75, 99)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.02])


def test_the_command_trains_and_exports(folder: Path, tmp_path: Path) -> None:
    record = {
        "trains": "idfsr",
        "architecture": {**SMALL.to_json(), "multipliers": [1, 2], "encoder_multipliers": [1, 2]},
        "sources": [{"folder": folder.name, "ratio": 1.0}],
        "low": {"x4-clean": 1.0},
        "batch": 1,
        "steps": 1,
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(record))
    arguments = ["train", "--config", str(path), "--data", str(folder.parent), "--run", str(tmp_path / "run")]
    assert main([*arguments, "--export", str(tmp_path / "out.safetensors")]) == 0
    assert load_idfsr(tmp_path / "out.safetensors").architecture.size == 16
    assert main([*arguments, "--set", "colour=red"]) == 2


def test_files_are_read_back_and_others_refused(tmp_path: Path) -> None:
    model = IDFSRModel(IDFSRNetwork(SMALL), SMALL)
    save_idfsr(tmp_path / "small.safetensors", model)
    loaded = load_idfsr(tmp_path / "small.safetensors")
    assert loaded.model_id.startswith("unnamed-")
    save_idfsr(tmp_path / "again.safetensors", model)
    assert load_idfsr(tmp_path / "again.safetensors").model_id == loaded.model_id
    save_idfsr(tmp_path / "other.safetensors", IDFSRModel(IDFSRNetwork(SMALL), SMALL))
    assert load_idfsr(tmp_path / "other.safetensors").model_id != loaded.model_id
    assert loaded.architecture == replace(SMALL, multipliers=[1, 2], encoder_multipliers=[1, 2])
    assert loaded.network.state_dict()["out.2.weight"].dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    write_safetensors(tmp_path / "odd.safetensors", {"a": torch.zeros(1)}, {"format": "headsup"})
    with raises_naming(ModelFileError, "headsup"):
        load_idfsr(tmp_path / "odd.safetensors")
    metadata = {"format": "headsup-idfsr", "format_version": "2", "architecture": "{}"}
    write_safetensors(tmp_path / "new.safetensors", {"a": torch.zeros(1)}, metadata)
    with raises_naming(ModelFileError, 2, 1):
        load_idfsr(tmp_path / "new.safetensors")
    write_safetensors(
        tmp_path / "cut.safetensors", {"a": torch.zeros(1)}, metadata | {"format_version": "1", "architecture": "{"}
    )
    with raises_naming(ModelFileError, "cut.safetensors"):
        load_idfsr(tmp_path / "cut.safetensors")
