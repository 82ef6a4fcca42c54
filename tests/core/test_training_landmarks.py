"""Training the landmark net: a few steps on drawn faces, and the file that it becomes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.training import CONFIGS, write_tem
from PIL import Image, ImageDraw

from headsup_core.faces import landmarks
from headsup_core.faces.landmarks import SIDE, mean_landmarks
from headsup_core.training.landmarks.landmark_config import LandmarkConfig
from headsup_core.training.landmarks.landmark_crops import LandmarkDataset, load_faces, load_others
from headsup_core.training.landmarks.landmark_subject import LandmarkSubject, landmark_loss
from headsup_core.training.run_config import read_record
from headsup_core.training.schedule import learning_rate
from headsup_core.training.trainer import Trainer

CPU = torch.device("cpu")
POINTS = torch.tensor([[60.0, 70.0], [100.0, 70.0], [80.0, 92.0], [64.0, 112.0], [96.0, 112.0]])


class NobodyIsSeen:
    """Stands in for YuNet: the faces are annotated, the others show nobody."""

    def __init__(self, model: Path) -> None:
        del model

    def __call__(self, image: torch.Tensor) -> None:
        del image


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LandmarkConfig:
    """Four people with drawn faces, and pictures of noise."""
    monkeypatch.setattr("headsup_core.training.landmarks.landmark_subject.LandmarkTeacher", NobodyIsSeen)
    rng = np.random.default_rng(0)
    for name in ("faces", "others"):
        (tmp_path / name).mkdir()
    for number in range(4):
        person = tmp_path / "faces" / f"{number}_1.png"
        _drawn_face(number).save(person)
        write_tem(person.with_suffix(".tem"), POINTS)
        noise = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 160)).save(tmp_path / "others" / f"{number}.png")
    return LandmarkConfig(
        faces=[str(tmp_path / "faces")],
        others=[str(tmp_path / "others")],
        teacher="yunet.onnx",
        batch=12,
        steps=14,
        warmup_steps=1,
        decay_steps=14,
        learning_rate=4e-3,
    )


def _drawn_face(number: int) -> Image.Image:
    picture = Image.new("RGB", (160, 180), (40 + 40 * number, 90, 160 - 30 * number))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((35, 25, 125, 150), fill=(220 - 20 * number, 180 - 20 * number, 150))
    for x, y in POINTS[:2].tolist():
        draw.ellipse((x - 6, y - 4, x + 6, y + 4), fill=(20, 20, 30))
    draw.line([(80, 76), (80, 92)], fill=(120, 80, 60), width=4)
    draw.line([(64, 112), (96, 112)], fill=(150, 30, 40), width=6)
    return picture


def test_the_loss_falls_and_the_export_is_what_the_pack_reads(
    config: LandmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(LandmarkSubject, config, tmp_path / "run", CPU)
    trainer.train()
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    totals = [float(row["landmark"]) + float(row["face"]) for row in rows]
    assert len(totals) == 14
    assert sum(totals[-4:]) < 0.85 * sum(totals[:4])
    with Image.open(tmp_path / "run" / "samples" / "000014.png") as sheet:
        assert sheet.size == (8 * 3 * SIDE, 4 * 3 * SIDE)

    path = tmp_path / "landmarks.safetensors"
    trainer.export(path)
    monkeypatch.setattr(landmarks, "WEIGHTS", path)
    net = landmarks.bundled_landmark_net.__wrapped__()
    crops = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = trainer.networks.eval()(crops), net(crops)
    assert torch.allclose(found[0], expected[0], atol=0.1)  # pixels; stored as float16
    assert torch.allclose(found[1], expected[1], atol=0.02)


def test_crops_show_where_the_landmarks_are(config: LandmarkConfig) -> None:
    faces = load_faces([Path(folder) for folder in config.faces], 2, NobodyIsSeen(Path()))
    assert len(faces) == 2  # every other person is held out
    others = load_others([Path(folder) for folder in config.others], NobodyIsSeen(Path()))
    dataset = LandmarkDataset(faces, others, 40, 0)
    samples = [dataset[index] for index in range(40)]
    assert all(sample["crop"].shape == (3, SIDE, SIDE) for sample in samples)
    shown = [sample for sample in samples if sample["is_face"]]
    assert 0.4 < len(shown) / len(samples) < 0.9  # 65 % are meant
    mean = torch.stack([sample["points"] for sample in shown]).mean(0)
    # turned, shifted and mirrored about where a well-placed face lies
    assert (mean.mean(0) - mean_landmarks().mean(0)).abs().max() < 4
    assert mean[0, 0] < mean[1, 0] - 8  # the left eye stays the left one in mirrored crops
    again = LandmarkDataset(faces, others, 40, 0)[7]
    assert all(torch.equal(value, again[name]) for name, value in samples[7].items())


def test_only_faces_count_in_the_landmark_loss() -> None:
    true, found = torch.zeros(3, 5, 2), torch.zeros(3, 5, 2)
    found[0] += SIDE / 4  # one eye distance off
    found[2] += 1000  # no face
    is_face = torch.tensor([1.0, 1.0, 0.0])
    # smooth L1 with beta 0.02: 1 - 0.01, over two faces, times 10
    assert landmark_loss(found, true, is_face).item() == pytest.approx(10 * 0.99 / 2)
    assert landmark_loss(found, true, torch.zeros(3)).item() == 0


def test_the_shipped_configuration_is_readable(tmp_path: Path) -> None:
    record = read_record(CONFIGS / "face-landmarks.yaml")
    assert record.pop("trains") == "face-landmarks"
    config = LandmarkConfig.from_record(record, tmp_path)
    assert all(Path(path).is_relative_to(tmp_path) for path in (*config.faces, *config.others, config.teacher))
    assert (config.batch, config.steps, config.hold_out) == (64, 4000, 5)
    # half a cosine over the whole run, after the warm-up
    rates = [learning_rate(config, step) / config.learning_rate for step in (0, 1000, 2000, 3000, 3999)]
    assert rates == pytest.approx([0.01, 0.853, 0.5, 0.146, 0.0], abs=1e-3)
