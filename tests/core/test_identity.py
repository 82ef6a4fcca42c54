"""Identities: encoding, outliers, quality, files, comparison."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from harness.faces import face_at
from harness.people import group_photo
from harness.refusals import raises_naming
from safetensors.torch import save_file

from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces import load_face_analyzer
from headsup_core.faces.alignment import FFHQ_512
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence, unit
from headsup_core.faces.face import Face
from headsup_core.identity import (
    Identity,
    PhotoReport,
    compare,
    encode_identity,
    encode_people,
    encoding,
    load_identity,
    save_identity,
)
from headsup_core.identity.identity_file import file_name
from headsup_core.identity.quality import frontality, photo_quality
from headsup_core.identity.similarity import ASSUMED, CALIBRATIONS, Calibration, calibration_of, measure


class ColourAnalyzer(AnalyzerBase):
    """Finds a face in every picture that is not grey; the embedding is its colour."""

    name = "colour"
    licence = Licence("none", True)
    embedder_id = "colour"
    needs = ""

    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        del options
        height, width = picture.shape[-2:]
        coloured = float((picture[:, 0] - picture[:, 1]).abs().mean()) > 0.05
        return [face_at(width / 2, height / 2, width / 6)] if coloured else []

    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        colour = picture.mean(dim=(0, 2, 3))
        return [torch.cat([colour - colour.mean(), torch.tensor([0.01])]) for _ in faces]


class OtherAnalyzer(ColourAnalyzer):
    embedder_id = "other"


def photo(red: float, green: float, blue: float, size: int = 300) -> torch.Tensor:
    texture = 0.04 * torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(size))
    return (torch.tensor([red, green, blue]).view(1, 3, 1, 1) + texture).clamp(0, 1)


RED, REDDISH = photo(0.9, 0.2, 0.2), photo(0.85, 0.25, 0.2, 260)
BLUE, GREY = photo(0.2, 0.45, 0.9), photo(0.5, 0.5, 0.5)


def test_one_identity_of_the_photos_that_agree() -> None:
    identity = encode_identity([RED, REDDISH, BLUE, GREY], ColourAnalyzer(), " Ada  Lovelace ")
    assert identity.name == "Ada Lovelace"
    assert identity.crops.shape == (2, 3, 512, 512)
    mean = unit(torch.stack([ColourAnalyzer()._embed(p, [face_at(1, 1, 1)])[0] for p in (RED, REDDISH)]).mean(0))
    assert float(identity.embeddings["colour"] @ mean) > 0.999
    assert [report.used for report in identity.photos] == [True, True, False, False]
    assert "does not show the same person as photo" in identity.photos[2].reason
    assert identity.photos[3].reason == "no face found in its 300x300 px by colour"
    assert str(identity.photos[3]).startswith("photo 4: left out, quality 0.00, no face found")


def test_of_two_that_disagree_the_better_one_is_kept() -> None:
    small = F.interpolate(BLUE, size=(90, 90))
    identity = encode_identity([small, RED], ColourAnalyzer(), labels=["small.jpg", "large.jpg"])
    assert [report.used for report in identity.photos] == [False, True]
    assert "as photo large.jpg" in identity.photos[0].reason


def test_batch_and_list_are_the_same() -> None:
    batch = encode_identity(torch.cat([RED, RED * 0.98]), ColourAnalyzer())
    several = encode_identity([RED, RED * 0.98], ColourAnalyzer())
    assert torch.equal(batch.embeddings["colour"], several.embeddings["colour"])


def test_photos_that_come_one_by_one_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_CROPS", 2)
    monkeypatch.setattr(encoding, "HELD_CROPS", 3)
    sizes = (90, 300, 120, 240, 150, 200)  # a larger face is a better photo
    photos = [F.interpolate(RED, size=(size, size), mode="bicubic") for size in sizes]
    at_once = encode_identity(photos, ColourAnalyzer())
    encoder = encoding.IdentityEncoder(ColourAnalyzer())
    references = [weakref.ref(photo) for photo in photos]
    while photos:
        encoder.add(photos.pop(0))
        assert sum(reference() is not None for reference in references) == len(photos)
        assert sum(photo.crop is not None for photo in encoder._found) <= 3
    identity = encoder.identity()
    assert [report.photo for report in identity.photos] == ["1", "2", "3", "4", "5", "6"]
    assert all(report.used for report in identity.photos)
    qualities = [report.quality for report in identity.photos]
    assert qualities[1] == max(qualities)
    two = [F.interpolate(RED, size=(size, size), mode="bicubic") for size in (300, 240)]
    best = encode_identity(two, ColourAnalyzer())
    assert torch.equal(identity.crops, best.crops)
    assert torch.equal(at_once.crops, identity.crops)
    assert torch.equal(at_once.embeddings["colour"], identity.embeddings["colour"])


def test_impossible_photos_are_refused() -> None:
    with pytest.raises(InputError):
        encode_identity([], ColourAnalyzer())
    with raises_naming(InputError, 2, "Ada", "colour"):
        encode_identity([GREY, GREY], ColourAnalyzer(), "Ada")
    with raises_naming(InputError, 1, 2):
        encode_identity([RED, RED], ColourAnalyzer(), labels=["a"])
    with raises_naming(InputError, 1, 100):
        encode_identity([RED], ColourAnalyzer(), "  ")
    with raises_naming(InputError, "NaN"):
        encode_identity([RED * float("nan")], ColourAnalyzer())


def test_everybody_in_a_photo_from_left_to_right() -> None:
    analyzer = load_face_analyzer("dlib")
    people = encode_people(group_photo(), analyzer, ["Rachel", "Monica"], DetectionOptions(min_eye_distance=30))
    assert [person.name for person in people] == ["Rachel", "Monica", *(f"person {n}" for n in (3, 4, 5, 6))]
    alone = encode_identity([group_photo()[..., 200:470, 0:260]], analyzer, "Rachel again")
    scores = [compare(alone.embedding_for(analyzer), p.embedding_for(analyzer), "dlib_resnet_v1").score for p in people]
    assert scores[0] > 0.9
    assert max(scores[1:]) < 0.6
    with raises_naming(InputError, 7, 6):
        encode_people(group_photo(), analyzer, ["x"] * 7, DetectionOptions(min_eye_distance=30))
    with raises_naming(InputError, "colour"):
        encode_people(GREY, ColourAnalyzer())


def test_quality_names_what_is_wrong() -> None:
    face = face_at(128, 128, 70)
    sharp = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    good = photo_quality(sharp, face)
    assert good.overall == pytest.approx(1, abs=0.1)
    assert good.shortcomings == ""
    blurred = F.interpolate(F.interpolate(sharp, size=(8, 8), mode="area"), size=(256, 256), mode="bicubic")
    assert photo_quality(blurred, face).shortcomings == "blurred"
    small = photo_quality(sharp, face_at(128, 128, 20, 0.3))
    assert small.shortcomings == "a small face, hardly recognised as a face"
    assert small.overall < 0.6 < good.overall


def test_frontality_is_where_the_nose_lies() -> None:
    assert frontality(FFHQ_512) == pytest.approx(1, abs=0.05)
    turned = FFHQ_512.clone()
    turned[2, 0] = FFHQ_512[[0, 3], 0].mean()
    assert frontality(turned) == pytest.approx(0, abs=0.05)
    half = FFHQ_512.clone()
    half[2, 0] = (FFHQ_512[[0, 3], 0].mean() + FFHQ_512[:, 0].mean()) / 2
    assert 0.3 < frontality(half) < 0.7


def test_similarity_is_on_the_calibrated_scale() -> None:
    calibration = Calibration(0.9, 0.5)
    assert calibration.score(0.9) == pytest.approx(1)
    assert calibration.score(0.5) == pytest.approx(0)
    assert calibration.score(0.7) == pytest.approx(0.5)
    assert [calibration.verdict(score) for score in (0.6, 0.59, 0.4, 0.39)] == [
        "same person",
        "unsure",
        "unsure",
        "different people",
    ]
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    assert compare(a, b, "unheard of").cosine == pytest.approx(0.6)
    assert compare(a, b, "unheard of").score == pytest.approx(ASSUMED.score(0.6))
    assert "not calibrated, 0.65 and 0 are assumed" in str(compare(a, b, "unheard of"))
    assert compare(a, a, "dlib_resnet_v1").verdict == "same person"
    assert "assumed" not in str(compare(a, a, "dlib_resnet_v1"))
    assert calibration_of("dlib_resnet_v1") is CALIBRATIONS["dlib_resnet_v1"]
    with raises_naming(InputError, 2, 3):
        compare(a, torch.ones(3), "x")


def test_measured_means_are_those_of_the_pairs() -> None:
    def at(degrees: float) -> torch.Tensor:
        angle = torch.deg2rad(torch.tensor(degrees))
        return torch.stack([angle.cos(), angle.sin()])

    means = measure([[at(0), at(10)], [at(90), at(100)], [at(45)]])
    cosines = torch.deg2rad(torch.tensor([90.0, 100, 80, 90, 45, 35, 45, 55])).cos()
    assert means.same == pytest.approx(float(torch.deg2rad(torch.tensor(10.0)).cos()), abs=1e-6)
    assert means.different == pytest.approx(float(cosines.mean()), abs=1e-6)
    assert (means.people, means.same_pairs, means.different_pairs) == (3, 2, 8)
    scores = (cosines - means.different) / (means.same - means.different)
    assert means.false_accept == pytest.approx(float((scores >= 0.6).double().mean()))
    assert means.false_reject == 0
    with raises_naming(InputError, 2, 0):
        measure([[at(0)], [at(1)]])


@pytest.fixture
def identity() -> Identity:
    made = encode_identity([RED, REDDISH, GREY], ColourAnalyzer(), "Ada")
    return replace(made, fitted={"headsup-tiny": torch.arange(6.0)})


def test_file_brings_back_what_was_saved(identity: Identity, tmp_path: Path) -> None:
    path = save_identity(tmp_path / "new", identity)
    assert path == tmp_path / "new" / "Ada.safetensors"
    assert path.stat().st_size < 500_000
    back = load_identity(path)
    assert back.name == "Ada"
    assert back.photos == identity.photos
    assert torch.equal(back.embeddings["colour"], identity.embeddings["colour"])
    assert torch.equal(back.fitted["headsup-tiny"], identity.fitted["headsup-tiny"])
    assert back.crops.shape == identity.crops.shape
    assert float((back.crops - identity.crops).abs().mean()) < 0.01
    assert [file.name for file in path.parent.iterdir()] == ["Ada.safetensors"]
    save_identity(tmp_path / "new", replace(identity, photos=()))
    assert load_identity(path).photos == ()


def test_another_analyzer_embeds_the_crops(identity: Identity) -> None:
    other = OtherAnalyzer()
    vector = identity.embedding_for(other)
    assert vector.shape == (4,)
    assert identity.embedding_for(ColourAnalyzer()) is identity.embeddings["colour"]
    with raises_naming(InputError, "colour", "other"):
        replace(identity, crops=identity.crops[:0]).embedding_for(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ada", "Ada"),
        ("../../etc/passwd", "______etc_passwd"),
        ("a/b\\c:d*e?", "a_b_c_d_e_"),
        ("  .hidden ", "_hidden"),
        ("Zoë 李", "Zoë 李"),
        ("CON", "_CON"),
        ("x" * 99, "x" * 80),
        ("\U00020000" * 70, "\U00020000" * 20),
    ],
)
def test_file_names_stay_in_their_folder(name: str, expected: str, identity: Identity, tmp_path: Path) -> None:
    assert file_name(name) == expected
    path = save_identity(tmp_path, identity, name)
    assert path.parent == tmp_path
    assert load_identity(path).name == "Ada"


def test_ending_of_a_long_file_name_is_kept() -> None:
    assert file_name("x" * 99, " 2") == "x" * 78 + " 2"


def test_unusable_names_and_folders_are_refused(identity: Identity, tmp_path: Path) -> None:
    for name in ("...", "///", "\0"):
        with pytest.raises(InputError):
            file_name(name)
    (tmp_path / "file").write_text("")
    with raises_naming(InputError, "Ada"):
        save_identity(tmp_path / "file", identity)


def test_damaged_files_are_refused(identity: Identity, tmp_path: Path) -> None:
    good = save_identity(tmp_path, identity).read_bytes()
    bad = tmp_path / "bad.safetensors"

    def refused(*named: object) -> None:
        with raises_naming(ModelFileError, "bad.safetensors", *named):
            load_identity(bad)

    refused()
    bad.write_bytes(b"")
    refused()
    bad.write_bytes(good[: len(good) // 2])
    refused()
    save_file({"a": torch.ones(2)}, bad)
    refused()
    head = {"format": "headsup-identity", "format_version": "1", "name": "Ada"}
    save_file({"a": torch.ones(2)}, bad, {"format": "headsup"})
    refused("headsup file")
    save_file({"a": torch.ones(2)}, bad, head | {"format_version": "7"})
    refused("'7'", 1)
    save_file({"a": torch.ones(2)}, bad, head)
    refused("embeddings", "photos")
    save_file({"embedding.x": torch.tensor([float("nan"), 0])}, bad, head)
    refused("embedding.x")
    save_file({"embedding.x": torch.ones(4)}, bad, head)
    refused("embedding.x")
    save_file({"embedding.x": torch.ones(1), "fitted.m": torch.ones(3, 4, 4)}, bad, head)
    refused("fitted.m")
    save_file({"crop.000": torch.zeros(50, dtype=torch.uint8)}, bad, head)
    refused("crop.000")
    save_file({"embedding.x": torch.ones(4, dtype=torch.int64)}, bad, head)
    refused("embedding.x", "int64", "float32")
    save_file({"crop.000": torch.zeros(50)}, bad, head)
    refused("crop.000")
    bomb = torch.frombuffer(bytearray.fromhex("ffd8ffc0001108ffffffff03012200021101031101ffd9"), dtype=torch.uint8)
    save_file({"crop.000": bomb}, bad, head)
    refused("crop.000")
    save_file({f"crop.{index:03d}": torch.zeros(9, dtype=torch.uint8) for index in range(17)}, bad, head)
    refused(17, 16)
    save_file({"embedding.x": torch.tensor([1.0, 0])}, bad, head | {"photos": "[" * 100_000})
    refused("photos", "header")
    save_file({"embedding.x": torch.tensor([1.0, 0])}, bad, head | {"photos": '[{"photo": "1", "quality": "x"}]'})
    refused("photos", "header")
    save_file({"embedding.x": torch.tensor([1.0, 0])}, bad, head | {"photos": "[{"})
    refused("photos", "header")
    save_file({"embedding.x": torch.tensor([1.0, 0])}, bad, head | {"name": " "})
    refused("name")
    with raises_naming(ModelFileError, ".safetensors"):
        load_identity(tmp_path / "evil.pkl")


def test_report_line() -> None:
    assert str(PhotoReport("a.jpg", 0.876, True)) == "photo a.jpg: used, quality 0.88"
