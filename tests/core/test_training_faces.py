"""Which faces of a crop count in training, and how much; recognisers that are told the landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harness.face_models import make_recogniser_with_landmarks
from harness.training import LANDMARKS, people_folder
from PIL import Image

from headsup_core.faces.face import Face
from headsup_core.host import PlainHost
from headsup_core.training.data.face_index import FaceIndex, IndexedPicture, write_index
from headsup_core.training.losses.differentiable_recognisers import aligned_landmarks, load_recogniser, told_embedding
from headsup_core.training.losses.loss_terms import face_fidelity, identity_loss, squared_error
from headsup_core.training.restorer.objective import SeenFaces
from headsup_core.training.restorer.picture_texts import PictureTexts
from headsup_core.training.restorer.restorer_samples import MOST_OTHERS, CropSource, RestorationDataset, SourceConfig


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """An index of one picture with three people beside each other, nobody of whom is seen elsewhere."""
    Image.effect_noise((480, 160), 60).convert("RGB").save(tmp_path / "crowd.png")
    faces = tuple(
        Face((x, 0.0, x + 159, 159.0), LANDMARKS + torch.tensor([x, 0.0]), 0.9, torch.randn(4))
        for x in (0.0, 160.0, 320.0)
    )
    index = tmp_path / "index.json"
    write_index(index, FaceIndex((IndexedPicture(tmp_path / "crowd.png", 480, 160, faces),), (), "e", 0.5, "cosine"))
    return index


def test_faces_count_without_references(crowd: Path) -> None:
    source = CropSource(SourceConfig(str(crowd), 1.0, zoom=(1.0, 1.0)))
    drawn = [source.crop(np.random.default_rng(seed), 160) for seed in range(40)]
    shown = [one for one in drawn if one.landmarks is not None]
    assert 0 < len(shown) < len(drawn)  # a crop of 160 of 480 px shows one face wholly, or none
    assert all(one.reference is None for one in drawn)
    for one in shown:
        assert one.landmarks is not None
        assert float((one.landmarks[1] - one.landmarks[0]).norm()) == pytest.approx(40, abs=1)


def test_several_faces_of_a_crop_count(tmp_path: Path) -> None:
    Image.effect_noise((480, 480), 60).convert("RGB").save(tmp_path / "crowd.png")
    places = [(x, y) for x in (0.0, 160.0, 320.0) for y in (0.0, 160.0, 320.0)]
    faces = tuple(Face((x, y, x + 159, y + 159), LANDMARKS + torch.tensor([x, y]), 0.9) for x, y in places)
    write_index(
        tmp_path / "index.json",
        FaceIndex((IndexedPicture(tmp_path / "crowd.png", 480, 480, faces),), (), "e", 0.5, "cosine"),
    )
    index, references = str(tmp_path / "index.json"), "other_photo_or_none"
    config = SourceConfig(index, 1.0, zoom=(1.0, 1.0), references=references, whole_face=0)
    sample = RestorationDataset([CropSource(config)], {"x8": 1.0}, 480, 1, seed=0)[0]
    assert sample["has_face"]
    assert not sample["has_reference"]
    assert sample["has_other"].tolist() == [1.0] * MOST_OTHERS
    everywhere = torch.stack([sample["landmarks"], *sample["other_faces"]])
    assert len({tuple(each[0].round().tolist()) for each in everywhere}) == MOST_OTHERS + 1
    assert sample["place"].tolist() == [0, 0]


def test_a_teacher_finds_the_faces_of_plain_folders(tmp_path: Path) -> None:
    Image.effect_noise((160, 160), 60).convert("RGB").save(tmp_path / "one.png")
    asked: list[torch.Size] = []

    def everyone(picture: torch.Tensor) -> list[torch.Tensor]:
        asked.append(picture.shape)
        return [LANDMARKS]

    source = CropSource(SourceConfig(str(tmp_path), 1.0, zoom=(1.0, 1.0)), None, everyone)
    assert asked == []  # only what is drawn is looked at
    drawn = [source.crop(np.random.default_rng(seed), 160) for seed in range(3)]
    assert all(one.landmarks is not None for one in drawn)
    assert asked == [(1, 3, 160, 160)]


def test_no_other_photo_means_no_reference(tmp_path: Path) -> None:
    folder = people_folder(tmp_path)
    (folder / "a_2.png").unlink()
    source = CropSource(SourceConfig(str(folder), 1.0, references="other_photo_or_none", whole_face=1.0))
    drawn = [source.crop(np.random.default_rng(seed), 128) for seed in range(20)]
    red = [one for one in drawn if one.image.mean((1, 2)).argmax() == 0]
    green = [one for one in drawn if one.image.mean((1, 2)).argmax() == 1]
    assert red
    assert green
    assert all(one.reference is None and one.landmarks is not None for one in red)
    assert all(one.reference is not None for one in green)


def test_faces_of_a_crop_share_its_weight() -> None:
    batch = {
        "good": torch.zeros(3, 3, 8, 8),
        "has_face": torch.tensor([1.0, 0.0, 1.0]),
        "landmarks": torch.arange(3.0).view(3, 1, 1).expand(3, 5, 2),
        "has_other": torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        "other_faces": torch.full((3, 3, 5, 2), 9.0),
    }
    seen = SeenFaces.of(batch)
    assert seen.crops.tolist() == [0, 0, 0, 2]
    assert seen.first.tolist() == [1, 0, 0, 1]
    assert seen.shares.tolist() == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3])
    assert seen.landmarks[:, 0, 0].tolist() == [0, 9, 9, 2]


def test_shares_weigh_the_losses() -> None:
    chance = torch.Generator().manual_seed(0)
    restored, truth = (torch.rand(2, 3, 4, 4, generator=chance) for _ in range(2))

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().flatten(1).mean(1)

    def embed(faces: torch.Tensor) -> torch.Tensor:
        return faces.flatten(1) - 0.5

    shares = torch.tensor([0.2, 0.7])
    pairs = list(zip(restored.split(1), truth.split(1), strict=True))
    each = [float(squared_error(*pair) + 0.8 * distance(*pair)) for pair in pairs]
    found = face_fidelity(restored, truth, distance, 0.8, shares)
    assert float(found) == pytest.approx(0.2 * each[0] + 0.7 * each[1], rel=1e-5)
    each = [float(identity_loss(embed, *pair)) for pair in pairs]
    found = identity_loss(embed, restored, truth, shares=shares)
    assert float(found) == pytest.approx(0.2 * each[0] + 0.7 * each[1], rel=1e-5)


@pytest.mark.parametrize("landmarks_first", [False, True])
def test_a_recogniser_is_told_the_landmarks(tmp_path: Path, landmarks_first: bool) -> None:
    """Its answer is the mean of each colour, and the first landmark in 0..1 of the aligned face."""
    network = load_recogniser(make_recogniser_with_landmarks(tmp_path / "kprpe.onnx", landmarks_first=landmarks_first))
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    landmarks = LANDMARKS[None].repeat(2, 1, 1) + torch.tensor([[[0.0, 0.0]], [[7.0, 3.0]]])
    points = aligned_landmarks(landmarks)
    found = told_embedding(network, points, faces)
    assert torch.allclose(found[:, :3], (faces * 2 - 1).mean((2, 3)), atol=1e-5)
    assert torch.allclose(found[:, 3:], points[:, 0], atol=1e-6)
    # ArcFace's template has the left eye at (38.2946, 51.6963) of 112 px, pixel centres being whole numbers
    assert torch.allclose(network(faces)[0, 3:], (torch.tensor([38.2946, 51.6963]) + 0.5) / 112, atol=1e-4)
    assert torch.allclose(points[0], points[1], atol=1e-5)  # alignment takes a shift away


class Listing:
    """A tagger that says how large its picture was, and counts."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0

    def tags(self, picture: torch.Tensor, options: object = None, host: object = None) -> list[str]:
        self.asked += 1
        return [f"{self.name} {picture.shape[-1]}"]


def test_a_picture_is_tagged_once(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (42, 34), "red").save(photo)
    run = tmp_path / "run"
    run.mkdir()

    def texts(process: int = 0) -> tuple[PictureTexts, Listing, Listing]:
        ram, dape = Listing("good"), Listing("bad")
        return PictureTexts(run, ram, dape, "x8", PlainHost("cpu"), process), ram, dape  # type: ignore[arg-type]

    asked, ram, dape = texts()
    first = asked.of(photo)
    assert (first.good, first.bad) == ("good 42", "bad 5")  # of 40 px, eight times smaller
    assert asked.of(photo) == first
    (run / "tags-0.jsonl").open("a").write('{"picture": "cut sho')
    again, other, _ = texts(process=1)
    assert again.of(photo) == first
    assert (ram.asked, dape.asked, other.asked) == (1, 1, 0)
    (tmp_path / "photo.txt").write_text("by hand")
    assert again.of(photo).good == "by hand"
    assert again.of(photo).bad == "bad 5"
    without = PictureTexts(run / "none", None, None, "x8", PlainHost("cpu"))
    assert (without.of(photo).good, without.of(photo).bad) == ("by hand", "by hand")
