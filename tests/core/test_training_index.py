"""Finding people in folders whose file names do not tell them apart, and drawing references by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from harness.training import LANDMARKS
from PIL import Image

from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence
from headsup_core.faces.face import Face
from headsup_core.training.data import portraits
from headsup_core.training.data.face_index import FaceIndex, IndexedPicture, mine_pairs, read_index, write_index
from headsup_core.training.data.photos import Photos
from headsup_core.training.restorer import restorer_samples
from headsup_core.training.restorer.restorer_samples import CropSource, RestorationDataset, SourceConfig

PEOPLE = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


class SquareAnalyzer(AnalyzerBase):
    """A square of 160 px is a face unless it is black; its colour, however dark, is the person."""

    name = "square"
    licence = Licence("ours", True)
    embedder_id = "colour"
    needs = ""

    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        width = picture.shape[-1]
        starts = [x for x in range(0, width, 160) if picture[..., x + 80].max() > 0.1]
        return [Face((x, 0, x + 159, 159), LANDMARKS + torch.tensor([float(x), 0.0]), 0.9) for x in starts]

    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        colours = [picture[0, :, 80, int(face.box[0]) + 80] for face in faces]
        return [colour - colour.mean() for colour in colours]


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """People are told apart by colour: none of them is made black and white."""
    monkeypatch.setattr(portraits, "GREY_REFERENCES", 0.0)
    monkeypatch.setattr(restorer_samples, "GREY_PICTURES", 0.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """red; red and green; green, darker; blue; nobody. The names say nothing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = {"1": [("red", 1.0)], "2": [("red", 0.5), ("green", 1.0)], "3": [("green", 0.5)], "4": [("blue", 1.0)]}
    for name, squares in {**rows, "5": []}.items():
        array = np.zeros((160, 160 * max(1, len(squares)), 3), np.uint8)
        for index, (person, light) in enumerate(squares):
            array[:, 160 * index : 160 * (index + 1)] = [int(value * light) for value in PEOPLE[person]]
        Image.fromarray(array).save(folder / f"IMG_{name}.png")
    return folder


@pytest.fixture
def index(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("headsup_core.commands.learning.dataset.make_analyzer", lambda *_: SquareAnalyzer())
    path = photos.parent / "index.json"
    assert main(["dataset", "build", str(photos), "--output", str(path), "--scale", "cosine", "--quiet"]) == 0
    return path


def test_the_same_person_is_found_in_other_photos(index: Path, photos: Path) -> None:
    found = read_index(index)
    assert [picture.file.resolve() for picture in found.pictures] == sorted(photos.iterdir())
    assert [len(picture.faces) for picture in found.pictures] == [1, 2, 1, 1, 0]
    assert [pair[:4] for pair in found.pairs] == [(0, 0, 1, 0), (1, 1, 2, 0)]
    assert all(pair[4] == pytest.approx(1, abs=0.01) for pair in found.pairs)
    assert (found.embedder, found.threshold, found.scale) == ("colour", 0.65, "cosine")
    assert found.others() == {(0, 0): [(1, 0)], (1, 0): [(0, 0)], (1, 1): [(2, 0)], (2, 0): [(1, 1)]}
    first = found.pictures[0].faces[0]
    assert torch.allclose(first.landmarks, LANDMARKS, atol=1e-3)
    assert first.embedding is not None
    assert first.embedding.norm().item() == pytest.approx(1, abs=1e-3)


def test_photos_of_folders_below_are_in_the_index_once(index: Path, photos: Path) -> None:
    (photos / "00000").mkdir()
    (photos / "IMG_3.png").rename(photos / "00000" / "IMG_3.png")
    given = [str(photos), str(photos / "00000"), str(photos / "IMG_1.png")]
    assert main(["dataset", "build", *given, "--output", str(index), "--scale", "cosine", "--quiet"]) == 0
    files = [one.file for one in read_index(index).pictures]
    assert sorted(file.name for file in files) == [f"IMG_{number}.png" for number in range(1, 6)]
    assert all(file.is_file() for file in files)


def test_thresholds_are_calibrated_or_raw() -> None:
    def picture(degrees: float) -> IndexedPicture:
        angle = torch.deg2rad(torch.tensor(degrees))
        vector = torch.stack([angle.cos(), angle.sin()])
        return IndexedPicture(Path("x"), 10, 10, (Face((0, 0, 1, 1), LANDMARKS, 1.0, vector),))

    pictures = [picture(0), picture(60), picture(100)]  # cosines 0.5, 0.766 and -0.17
    # assumed of an unknown recogniser: 0.65 is one person, so 0.5 is 0.77 on the calibrated scale
    assert [pair[::2] for pair in mine_pairs(pictures, "unknown", 0.7, "calibrated")] == [
        (0, 1, pytest.approx(0.769, abs=1e-3)),
        (1, 2, pytest.approx(1.178, abs=1e-3)),
    ]
    assert [pair[:4] for pair in mine_pairs(pictures, "unknown", 0.7, "cosine")] == [(1, 0, 2, 0)]
    assert [pair[:4] for pair in mine_pairs(pictures, "unknown", -1, "cosine", most=1)] == [(0, 0, 1, 0), (1, 0, 2, 0)]
    assert mine_pairs(pictures[:1], "unknown", 0, "cosine") == ()


def test_people_are_held_out_with_all_their_pictures(index: Path) -> None:
    found = read_index(index)
    people = found.people()
    assert people[0][0] == people[1][0] != people[1][1] == people[2][0] != people[3][0]
    kept = found.without_every(3)  # red, who stands beside green in the second picture
    assert [picture.file.name for picture in kept.pictures] == ["IMG_3.png", "IMG_4.png", "IMG_5.png"]
    assert kept.pairs == ()
    assert found.without_every(0) is found


@pytest.mark.parametrize("in_memory", [True, False])
def test_samples_of_an_index_have_the_right_person_as_reference(index: Path, in_memory: bool) -> None:
    config = SourceConfig(str(index), 1.0, references="other_photo", whole_face=1.0, in_memory=in_memory)
    dataset = RestorationDataset([CropSource(config)], {"x8": 1.0}, 64, 24, seed=0)
    people = set()
    for sample in (dataset[item] for item in range(24)):
        if not sample["has_reference"]:
            assert not sample["landmarks"].any()  # the picture that shows nobody
            continue
        x, y = sample["landmarks"].mean(0).round().int().clamp(0, 63).tolist()
        colour, known = sample["good"][:, y, x], sample["reference"][:, y, x]
        assert colour.argmax() == known.argmax()
        people.add(int(colour.argmax()))
    assert people == {0, 1, 2}


def test_reduced_pictures_keep_their_landmarks(index: Path) -> None:
    photos = Photos(index, longest_side=80, with_faces=True, in_memory=False)
    assert torch.allclose(photos.faces(0)[0], (LANDMARKS + 0.5) / 2 - 0.5, atol=1e-3)
    assert torch.allclose(photos.faces(1)[0], (LANDMARKS + 0.5) / 4 - 0.5, atol=1e-3)


def test_upright_references_cover_the_whole_crop(index: Path) -> None:
    source = CropSource(SourceConfig(str(index), 1.0, references="other_photo", whole_face=1.0))
    dataset = RestorationDataset([source], {"x8": 1.0}, 64, 4, seed=0, placement="aligned")
    sample = next(one for one in (dataset[item] for item in range(4)) if one["has_reference"])
    hue = sample["reference"].argmax(0)
    assert (hue == hue[0, 0]).all()  # no empty grey around the face
    assert 0.05 < sample["mask"].mean() < 0.9
    pair = index.parent / "photos" / "IMG_2.png"  # red, green: a crop of one hardly shows the other
    array = np.asarray(Image.open(pair))
    Image.fromarray(np.pad(array, ((0, 400), (0, 0), (0, 0)))).save(pair)
    source = CropSource(SourceConfig(str(index), 1.0, references="other_photo", whole_face=0.0, zoom=(1.0, 1.0)))
    dataset = RestorationDataset([source], {"x8": 1.0}, 64, 60, seed=0, placement="aligned")
    blind = [sample for sample in (dataset[item] for item in range(60)) if not sample["mask"].any()]
    assert len(blind) > 5
    assert not any(sample["has_reference"] for sample in blind)


def test_wrong_use_is_one_line(index: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "build", str(photos), "--output", str(photos / "index.txt")]) == 2
    assert "a .json file for an index of all photos" in capsys.readouterr().err
    assert main(["dataset", "build", str(photos), "--output", str(index), "--eye-distance", "80"]) == 2
    assert "--eye-distance 80" in capsys.readouterr().err
    assert main(["dataset", "build", str(photos), "--output", str(photos / "set"), "--min-eye-distance", "80"]) == 2
    assert "--min-eye-distance 80" in capsys.readouterr().err
    (photos / "IMG_3.png").write_bytes(b"no picture")
    assert main(["dataset", "build", str(photos), "--output", str(index), "--scale", "cosine", "--quiet"]) == 2
    assert len(read_index(index).pictures) == 4
    index.write_text('{"format": "other", "format_version": 1}')
    with raises_naming(InputError, "other", "headsup-faces", 1):
        read_index(index)
    index.write_text("[]")
    with pytest.raises(InputError):
        read_index(index)
    write_index(index, FaceIndex((), (), "colour", 0.5, "cosine"))
    with pytest.raises(InputError):
        read_index(index)
