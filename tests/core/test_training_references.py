"""Training with references: what a sample holds, the identity loss, and a run that uses both."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.face_models import make_arcface, make_residual_recogniser, make_scrfd
from harness.refusals import raises_naming
from harness.training import CONFIGS, LANDMARKS, people_folder
from PIL import Image

from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces.alignment import template
from headsup_core.models.record import ModelRecord
from headsup_core.training.data import portraits
from headsup_core.training.data.landmark_annotations import lies_inside, mirrored_landmarks, placed_landmarks
from headsup_core.training.data.portraits import align_portrait, make_reference
from headsup_core.training.losses.differentiable_recognisers import (
    MobileFaceNet,
    aligned_faces,
    load_mobilefacenet,
    load_recogniser,
)
from headsup_core.training.losses.loss_terms import identity_loss
from headsup_core.training.restorer.restorer_config import LossWeights, RestorerConfig, read_config
from headsup_core.training.restorer.restorer_samples import CropSource, RestorationDataset, SourceConfig
from headsup_core.training.restorer.restorer_subject import RestorerSubject
from headsup_core.training.trainer import Trainer

SHIPPED = CONFIGS / "headsup-tiny.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return people_folder(tmp_path)


def test_a_reference_is_another_photo_of_the_same_person(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "GREY_REFERENCES", 0.0)
    source = CropSource(SourceConfig(str(folder), 1.0, references="other_photo", whole_face=1.0))
    for seed in range(8):
        drawn = source.crop(np.random.default_rng(seed), 128)
        assert drawn.reference is not None
        inside = drawn.reference.mask[0] > 0.999
        assert inside.float().mean() > 0.05
        colour, known = drawn.image[:, inside].mean(1), drawn.reference.picture[:, inside].mean(1)
        assert colour.argmax() == known.argmax()  # the same person
        light = colour.max() / known.max()
        assert light > 1.3 or light < 0.77  # the other photo
        assert torch.equal(drawn.reference.picture[:, drawn.reference.mask[0] == 0].unique(), torch.tensor([0.5]))


def test_some_references_are_black_and_white(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CropSource(SourceConfig(str(folder), 1.0, references="other_photo", whole_face=1.0))
    monkeypatch.setattr(portraits, "GREY_REFERENCES", 1.0)
    drawn = source.crop(np.random.default_rng(1), 128).reference
    assert drawn is not None
    assert torch.equal(drawn.picture[0], drawn.picture[2])
    assert drawn.picture.std() > 0.01


def test_references_are_dropped_as_often_as_asked(folder: Path) -> None:
    source = CropSource(SourceConfig(str(folder), 1.0, references="augmented_copy"))
    rng = np.random.default_rng(0)
    known = [source.crop(rng, 64, reference_drop=0.25).reference is not None for _ in range(200)]
    assert 0.65 < np.mean(known) < 0.85
    dataset = RestorationDataset([source], {"x8": 1.0}, 64, 4, seed=0, reference_drop=1.0)
    assert not dataset[0]["has_reference"]
    assert not dataset[0]["mask"].any()
    assert torch.equal(dataset[0]["reference"], torch.full((3, 64, 64), 0.5))


def test_whole_faces_are_counted_and_lie_at_the_landmarks(folder: Path) -> None:
    for path in folder.glob("*.png"):  # a white pupil at the left eye
        picture = np.asarray(Image.open(path)).copy()
        x, y = LANDMARKS[0].round().int().tolist()
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
        Image.fromarray(picture).save(path)
    dataset = RestorationDataset(
        [CropSource(SourceConfig(str(folder), 1.0, references="other_photo", whole_face=1.0))],
        {"x8": 1.0},
        128,
        9,
        seed=3,
    )
    for index in range(9):
        sample = dataset[index]
        assert sample["has_face"]
        blue = sample["good"][2]  # only the pupil has much of it
        y, x = divmod(int(blue.flatten().argmax()), 128)
        eyes = sample["landmarks"][:2]
        assert min((eyes - torch.tensor([float(x), float(y)])).norm(dim=1)) < 4
        assert eyes[0, 0] < eyes[1, 0]


def test_photos_without_landmarks_need_a_teacher(folder: Path) -> None:
    (folder / "a_1.tem").unlink()
    with raises_naming(InputError, "a_1.png", "a_1.tem"):
        CropSource(SourceConfig(str(folder), 1.0, references="other_photo"))
    nobody = CropSource(SourceConfig(str(folder), 1.0, references="other_photo"), lambda image: None)
    drawn = [nobody.crop(np.random.default_rng(seed), 64) for seed in range(30)]
    assert any(one.landmarks is None for one in drawn)
    # the other photo of a has no partner now: its reference is an altered copy of itself
    assert all(one.reference is not None for one in drawn if one.landmarks is not None)


def test_landmarks_follow_the_crop() -> None:
    picture = torch.zeros(1, 1, 40, 60)
    picture[..., 10, 20] = 1.0
    points = torch.tensor([[20.0, 10.0]] * 5)
    placed = placed_landmarks(points, (16.0, 4.0), 16.0, 16, mirrored=False)
    assert torch.equal(placed[0], torch.tensor([4.0, 6.0]))
    assert torch.equal(placed_landmarks(points, (16.0, 4.0), 16.0, 32, mirrored=False)[0], torch.tensor([8.5, 12.5]))
    assert mirrored_landmarks(placed, 16)[0].tolist() == [11.0, 6.0]


def test_a_mirrored_crop_gets_a_mirrored_reference() -> None:
    halves = np.zeros((512, 512, 3), np.uint8)
    halves[:, :256] = 255
    landmarks = template("ffhq", 128)
    means = []
    for mirrored in (False, True):
        points = mirrored_landmarks(landmarks, 128) if mirrored else landmarks
        one = make_reference(halves, points, 128, mirrored, np.random.default_rng(1), copy=False)
        means.append(one.picture[0, 70, 44] - one.picture[0, 70, 84])
    assert means[0] > 0.5
    assert means[1] < -0.5


def test_portraits_keep_no_finer_reference_than_the_photo_has() -> None:
    picture = Image.new("RGB", (400, 400))
    assert align_portrait(picture, LANDMARKS).shape == (256, 256, 3)
    assert align_portrait(picture, LANDMARKS * 2).shape == (512, 512, 3)


def test_a_face_at_the_border_is_not_whole() -> None:
    assert lies_inside(template("arcface", 112) + 2, 120)
    assert not lies_inside(template("arcface", 112) - 2, 120)


def test_identity_loss_against_a_hand_computation() -> None:
    angles = {"restored": 0.0, "truth": 60.0, "reference": 90.0}
    pictures = {name: torch.full((1, 3, 2, 2), math.radians(angle)) for name, angle in angles.items()}

    def embed(faces: torch.Tensor) -> torch.Tensor:
        angle = faces.mean(dim=(1, 2, 3))
        return 3 * torch.stack([angle.cos(), angle.sin()], dim=1)

    alone = -math.log((0.5 + 1) / 2)
    alike = math.cos(math.radians(30))
    both = alone - alike * math.log((0 + 1) / 2)
    got = identity_loss(embed, pictures["restored"], pictures["truth"])
    assert got.item() == pytest.approx(alone, abs=1e-5)
    assert identity_loss(embed, *pictures.values()).item() == pytest.approx(both, abs=1e-5)
    unknown = identity_loss(embed, *pictures.values(), known=torch.zeros(1))
    assert unknown.item() == pytest.approx(alone, abs=1e-5)
    opposite = torch.full((1, 3, 2, 2), math.radians(240.0))
    assert identity_loss(embed, pictures["restored"], pictures["truth"], opposite).item() == pytest.approx(
        alone, abs=1e-5
    )


def test_identity_loss_has_a_gradient_through_the_alignment() -> None:
    torch.manual_seed(0)
    network = MobileFaceNet().eval().requires_grad_(False)
    restored = torch.rand(1, 3, 128, 128, requires_grad=True)
    landmarks = template("arcface", 112)[None] + 8
    faces = aligned_faces(restored, landmarks)
    assert torch.allclose(faces, restored[..., 8:120, 8:120], atol=1e-4)
    identity_loss(network, faces, torch.rand(1, 3, 112, 112)).backward()
    assert restored.grad is not None
    assert restored.grad[..., 20:100, 20:100].abs().sum() > 0
    assert restored.grad[..., :4].abs().sum() == 0


def test_recogniser_files(tmp_path: Path) -> None:
    network = MobileFaceNet()
    path = tmp_path / "net.pt"
    torch.save(network.state_dict(), path)
    face = torch.rand(1, 3, 112, 112)
    loaded = load_mobilefacenet(path)
    assert torch.equal(loaded(face), network.eval()(face))
    assert loaded(face).shape == (1, 128)
    torch.save({"conv1.0.weight": torch.zeros(1)}, path)
    with raises_naming(ModelFileError, "MobileFaceNet"):
        load_mobilefacenet(path)
    with raises_naming(ModelFileError, "nothing.pt"):
        load_mobilefacenet(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    ("make", "scale", "shift"),
    [
        (make_arcface, 2, -1),
        (partial(make_arcface, faces=1), 2, -1),  # a network for one face takes several
        (make_residual_recogniser, 2, -1),
        (partial(make_residual_recogniser, odd="any side"), 2, -1),
        (partial(make_residual_recogniser, odd="normalises"), 255, 0),
    ],
)
def test_onnx_recogniser_has_gradients(make: Callable[[Path], Path], scale: int, shift: int, tmp_path: Path) -> None:
    """What onnxruntime computes of faces in the network's range, and its derivative; its weights move to a device."""
    import onnxruntime

    file = make(tmp_path / "net.onnx")
    faces = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0), requires_grad=True)
    network = load_recogniser(file)
    vectors = network(faces)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    inputs = (faces.detach() * scale + shift).split(1)
    expected = [torch.from_numpy(session.run(None, {"input.1": each.numpy()})[0]) for each in inputs]
    assert torch.allclose(vectors, torch.cat(expected), atol=1e-4)
    vectors[1].square().sum().backward()
    assert faces.grad is not None
    assert [bool(each.any()) for each in faces.grad] == [False, True, False]
    assert {value.device.type for value in network.to("meta").state_dict().values()} == {"meta"}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path.write_text("no network"), ("net.onnx",)),
        (lambda path: path.write_bytes(b""), ("net.onnx",)),
        (lambda path: path.mkdir(), ("net.onnx",)),
        (make_scrfd, (1, 9)),
        (partial(make_residual_recogniser, odd="two outputs"), (1, 2)),
        (partial(make_residual_recogniser, odd="picture"), ("[2, 12544]", 2)),
        (partial(make_residual_recogniser, odd="float16"), ("[None, 3, 112, 112]",)),
        (partial(make_arcface, faces=16), ("[16, 3, 112, 112]", "[2, 3, 112, 112]")),
    ],
)
def test_files_that_are_no_recognisers(make: Callable[[Path], Any], named: tuple[object, ...], tmp_path: Path) -> None:
    make(tmp_path / "net.onnx")
    with raises_naming(ModelFileError, *named):
        load_recogniser(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("named", "expected"),
    [("a.onnx", ["a.onnx"]), (["a.pt", "b.onnx"], ["a.pt", "b.onnx"]), ("", []), (None, []), ([], [])],
)
def test_recognisers_of_a_configuration(named: Any, expected: list[str], tmp_path: Path) -> None:
    """One or a list, relative to the data."""
    config = read_config(SHIPPED, {"recogniser": named}, tmp_path)
    assert list(config.recognisers) == [str(tmp_path / name) for name in expected]


@pytest.mark.parametrize("named", [["a.pt", ""], [None], 5, {"a.pt": 1}, ["a.pt", "a.pt"]])
def test_recognisers_that_are_no_files(named: Any) -> None:
    with raises_naming(InputError, "recogniser"):
        read_config(SHIPPED, {"recogniser": named})
    with raises_naming(InputError, "recognisers"):
        read_config(SHIPPED, {"recognisers": named})


def test_identity_loss_is_the_mean_over_recognisers(
    toy_record: ModelRecord, folder: Path, backbone: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    files = str(tmp_path / "net.pt"), str(make_arcface(tmp_path / "net.onnx", size=16))
    torch.save(MobileFaceNet().state_dict(), files[0])
    first, second, both = (
        _identity_of_first_step(tmp_path / str(index), toy_record, folder, backbone, recognisers)
        for index, recognisers in enumerate((files[:1], files[1:], files))
    )
    assert first != pytest.approx(second, rel=0.01)
    assert both == pytest.approx((first + second) / 2, rel=1e-4)


def _identity_of_first_step(
    run: Path, toy_record: ModelRecord, folder: Path, backbone: Path, recognisers: tuple[str, ...]
) -> float:
    config = reference_config(toy_record, folder, backbone, recognisers, steps=1)
    torch.manual_seed(0)
    Trainer(RestorerSubject, config, run, torch.device("cpu")).train()
    with (run / "log.csv").open() as file:
        return float(next(csv.DictReader(file))["identity"])


def reference_config(
    toy_record: ModelRecord, folder: Path, backbone: Path, recognisers: tuple[str, ...], steps: int
) -> RestorerConfig:
    """Every sample has a whole face and a reference."""
    return RestorerConfig(
        architecture=toy_record,
        sources=(SourceConfig(str(folder), 1.0, references="other_photo", whole_face=1.0),),
        degradations={"x8": 1.0},
        lpips_backbone=str(backbone),
        recognisers=recognisers,
        reference_drop=0.0,
        crop=128,
        batch=2,
        steps=steps,
        codec_steps=0,
        lpips_from=10,
        warmup_steps=1,
        workers=0,
        sample_every=9,
        loss=LossWeights(ssim=0.1, spectrum=0.1, identity=1.0),
    )


def test_training_reaches_the_reference_channels(toy_record: ModelRecord, folder: Path, backbone: Path) -> None:
    recogniser = folder.parent / "net.pt"
    torch.manual_seed(0)
    torch.save(MobileFaceNet().state_dict(), recogniser)
    config = reference_config(toy_record, folder, backbone, (str(recogniser),), steps=3)
    trainer = Trainer(RestorerSubject, config, folder.parent / "run", torch.device("cpu"))
    weight = "unet.conv_in.weight"
    before = trainer.networks.get_parameter(weight).detach().clone()
    trainer.train()
    moved = (trainer.networks.get_parameter(weight) - before).abs().amax(dim=(0, 2, 3))
    assert toy_record.architecture is not None
    channels = toy_record.architecture.codec["latent_channels"]
    assert (moved[channels:] > 0).all()  # the reference's and the mask's
    with (folder.parent / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["identity"] and float(row["ssim"]) > 0 and float(row["spectrum"]) > 0 for row in rows)
