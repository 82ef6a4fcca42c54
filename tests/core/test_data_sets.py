"""The data set builder: what falls at which stage, people, copies, the test split, resuming, merging, growth."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.faces import face_at
from PIL import Image

from headsup_core.bulk.data_sets import near_neighbours
from headsup_core.bulk.data_sets.duplicates import doubles, fingerprint, thumbnail
from headsup_core.bulk.data_sets.near_neighbours import EXACT, near_pairs
from headsup_core.bulk.data_sets.neighbour_costs import made_up_faces, neighbour_cost
from headsup_core.bulk.data_sets.people_split import best_references, split_people
from headsup_core.bulk.data_sets.photo_records import read_parts, write_part
from headsup_core.bulk.data_sets.photo_stages import StageOptions
from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence
from headsup_core.faces.face import Face
from headsup_core.training.data.face_index import FaceIndex, IndexedPicture
from headsup_core.training.data.index_table import read_table, write_table
from headsup_core.training.data.photos import list_photos

SMALL = ["--long-side", "160", "--short-side", "120", "--work-side", "80", "--eye-distance", "16"]
SCALE = ["--scale", "cosine", "--threshold", "0.95", "--quiet"]


class ColourAnalyzer(AnalyzerBase):
    """A face in the middle of every picture whose corner is bright; the person is the middle's colour."""

    name = "colours"
    licence = Licence("ours", True)
    embedder_id = "colour"
    needs = ""
    looked = 0
    dies_at = -1

    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        type(self).looked += 1
        if self.looked == self.dies_at:
            os._exit(9)  # nothing is flushed, as by kill -9
        height, width = picture.shape[-2:]
        if picture[0, :, 2, 2].max() < 0.5:
            return []
        return [face_at(width / 2, height / 2, width / 8)]

    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        colours: list[torch.Tensor] = []
        for face in faces:
            x, y = (round(value) for value in face.landmarks.mean(0).tolist())
            colours.append(picture[0, :, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2)) - 0.3)
        return colours


@pytest.fixture(autouse=True)
def analyzer(monkeypatch: pytest.MonkeyPatch) -> None:
    ColourAnalyzer.looked, ColourAnalyzer.dies_at = 0, -1
    monkeypatch.setattr("headsup_core.commands.learning.data_set_builder.make_analyzer", lambda *_: ColourAnalyzer())


def _photo(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """Somebody of that colour in front of a background of their own."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(130, 255, (6, 8, 3)).astype(np.uint8))
    picture = small.resize(size, Image.Resampling.BICUBIC)
    width, height = size
    picture.paste(colour, (width // 2 - 20, height // 2 - 20, width // 2 + 20, height // 2 + 20))
    picture.paste((255, 255, 255), (0, 0, 12, 12))
    return picture


def _faceless(size: tuple[int, int] = (200, 150)) -> Image.Image:
    return Image.new("RGB", size, (20, 20, 20))


RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two of red, one of them in a folder below and once more, smaller; two of green; one blue; and four that fall."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    _photo(RED, 1).save(folder / "red1.png")
    _photo(RED, 2).save(folder / "deep" / "er" / "red2.png")
    _photo(RED, 2).resize((180, 135)).save(folder / "red2 again.png")
    _photo(GREEN, 3).save(folder / "green1.jpg", quality=95)
    _photo(GREEN, 4).save(folder / "green2.png")
    _photo(BLUE, 5).save(folder / "blue.png")
    _photo(RED, 6, (100, 75)).save(folder / "small.png")
    _photo(RED, 7, (400, 130)).save(folder / "wide.png")
    _faceless().save(folder / "nobody.png")
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def _build(photos: Path | str, output: Path, *more: str) -> int:
    return main(["dataset", "build", str(photos), "--output", str(output), *SMALL, *SCALE, *more])


def _report(output: Path) -> dict[str, Any]:
    return json.loads((output / "report.json").read_text())


def test_photos_fall_where_they_should_and_people_are_found(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "set"
    assert _build(photos, output, "--test-share", "0.5") == 2  # one cannot be read
    report = _report(output)
    assert report["fell"] == {"size": 1, "aspect": 1, "quality": 0, "faces": 1, "double": 1}
    assert (report["photos"], report["kept"], report["people"], report["people_in_several_photos"]) == (9, 5, 3, 2)
    index = read_table(output / "index.parquet")
    names = {picture.file.name for picture in index.pictures}
    assert names == {"red1.png", "red2.png", "green1.jpg", "green2.png", "blue.png"}
    pairs = {tuple(sorted((index.pictures[a].file.name, index.pictures[b].file.name))) for a, _, b, _, _ in index.pairs}
    assert pairs == {("red1.png", "red2.png"), ("green1.jpg", "green2.png")}
    assert "cut.png" in (output / "failures.jsonl").read_text()
    for stage in ("size", "aspect", "faces", "double"):
        assert Image.open(output / f"fell_{stage}.jpg").size[0] >= 160
    listed, others = list_photos(output / "index.parquet")  # what training reads
    assert len(listed) == 5
    assert len(others) == 4


def test_training_finds_photos_that_were_given_by_a_relative_path(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _build(photos.name, Path("set")) == 2  # one cannot be read
    monkeypatch.chdir("/")
    files = [one.file for one in read_table(tmp_path / "set" / "index.parquet").pictures]
    assert len(files) == 5
    assert {file.parent for file in files} <= {photos, photos / "deep" / "er"}
    assert all(file.is_file() for file in files)


def test_without_a_test_part_none_of_an_earlier_share_is_left(photos: Path, tmp_path: Path) -> None:
    (photos / "cut.png").unlink()
    output = tmp_path / "set"
    assert _build(photos, output, "--test-share", "0.9") == 0
    assert read_table(output / "test.parquet").pictures
    assert _build(photos, output, "--test-share", "0") == 0
    assert not (output / "test.parquet").exists()
    assert len(read_table(output / "train.parquet").pictures) == 5


def test_a_killed_build_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    """Killed in its second block: what the first held is not looked at again."""
    from headsup_core.bulk.engine import BLOCK

    many = tmp_path / "many"
    many.mkdir()
    for index in range(2 * BLOCK):
        _photo(RED, 100 + index).save(many / f"{index:02d}.png")
    child = os.fork()
    if not child:
        ColourAnalyzer.dies_at = BLOCK + 3
        _build(many, tmp_path / "set")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert _build(many, tmp_path / "set") == 0
    assert ColourAnalyzer.looked == BLOCK
    assert _report(tmp_path / "set")["photos"] == 2 * BLOCK
    with pytest.raises(SystemExit):
        main(["dataset", "build"])
    assert _build(many, tmp_path / "set", "--most-aspect", "1.7") == 2  # other options do not mix


def test_data_sets_merge_and_shards_are_read(photos: Path, tmp_path: Path) -> None:
    """People are looked for over all of them; photos in shards are copied to where training can read them. Each set
    has its own limits."""
    stream = io.BytesIO()
    _photo(BLUE, 9).save(stream, "PNG")
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        entry = tarfile.TarInfo("x/blue2.png")
        entry.size = len(stream.getvalue())
        archive.addfile(entry, io.BytesIO(stream.getvalue()))
    (photos / "cut.png").unlink()
    assert _build(photos, tmp_path / "one") == 0
    assert _build(tmp_path / "shard.tar", tmp_path / "two", "--most-aspect", "1.7") == 0
    both = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert main(["dataset", "merge", *both, "--output", str(tmp_path / "all"), *SCALE[:-1]]) == 0
    report = _report(tmp_path / "all")
    assert (report["kept"], report["people"], report["people_in_several_photos"]) == (6, 3, 3)
    index = read_table(tmp_path / "all" / "index.parquet")
    assert all(picture.file.is_file() for picture in index.pictures)


def test_a_photo_of_two_data_sets_is_kept_if_one_keeps_it(photos: Path, tmp_path: Path) -> None:
    (photos / "cut.png").unlink()
    assert _build(photos, tmp_path / "strict", "--long-side", "100000") == 2  # none was kept
    assert _build(photos, tmp_path / "kind") == 0
    for order in (["strict", "kind"], ["kind", "strict"]):
        folders = [str(tmp_path / name) for name in order]
        output = tmp_path / f"all-{order[0]}"
        assert main(["dataset", "merge", *folders, "--output", str(output), *SCALE[:-1]]) == 0
        assert _report(output)["kept"] == _report(tmp_path / "kind")["kept"] > 0


def test_faces_of_another_recogniser_are_not_merged(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "cut.png").unlink()
    assert _build(photos, tmp_path / "one") == 0
    records, options = read_parts(tmp_path / "one" / "parts")
    (tmp_path / "two" / "parts").mkdir(parents=True)
    write_part(tmp_path / "two" / "parts" / "a.parquet", records, options | {"embedder": "another"})
    both = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert main(["dataset", "merge", *both, "--output", str(tmp_path / "all"), *SCALE[:-1]]) == 2
    assert "embedded by another" in capsys.readouterr().err
    assert not (tmp_path / "all" / "index.parquet").exists()


def test_quality_takes_a_score_by_name(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headsup_core.bulk.data_sets import photo_stages

    red = photo_stages.Quality("redness", lambda one, _: float(one[0, 0].mean()), higher_is_better=True)
    monkeypatch.setattr(photo_stages.Quality, "named", classmethod(lambda *_: red))
    with pytest.raises(InputError, match="nonesuch"):
        StageOptions(quality="nonesuch")
    (photos / "cut.png").unlink()
    assert _build(photos, tmp_path / "set", "--quality", "niqe", "--quality-limit", "0.3") == 0
    assert _report(tmp_path / "set")["fell"]["quality"] == 1  # the dark one


def test_copies_are_told_from_other_photos_of_one_sitting() -> None:
    """Somebody with another expression before the same background has the fingerprint of the first photo, or nearly."""
    one, other = _photo(RED, 11), _photo(RED, 11)
    other.paste((255, 255, 255), (80, 75, 120, 95))
    stream = io.BytesIO()
    one.resize((90, 68)).save(stream, "JPEG", quality=60)
    copy = Image.open(stream)
    pictures = [copy, one, other, one]
    prints, thumbs = [fingerprint(each) for each in pictures], [thumbnail(each) for each in pictures]
    assert doubles(prints, thumbs, [1, 2, 2, 2], [(0, 1), (1, 2)]) == {0: 1, 3: 1}
    assert doubles([0] * 4, thumbs, [1, 2, 2, 2]) == {0: 1, 3: 1}  # found by the fingerprint alone
    assert doubles(prints, [b""] * 4, [1, 2, 2, 2], [(0, 1)]) == {}


def _made_up(count: int, people: int) -> tuple[Any, Any]:
    """Unit vectors of 128 numbers around so many people's, each from a photo of its own."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((people, 128))
    vectors = centres[np.arange(count) % people] + 0.35 * rng.standard_normal((count, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.arange(count)


def test_near_neighbours_find_what_all_pairs_find() -> None:
    count = 2 * EXACT
    vectors, owners = _made_up(count, count // 4)
    pairs, cosines = near_pairs(vectors, owners, 0.65)
    table = np.triu(vectors @ vectors.T, 1)
    truth = {(int(a), int(b)) for a, b in np.argwhere(table >= 0.65)}
    found = {(int(a), int(b)) for a, b in pairs}
    assert len(truth) > count
    assert found <= truth
    assert len(found) >= 0.99 * len(truth)
    assert np.allclose(cosines, table[pairs[:, 0], pairs[:, 1]], atol=1e-5)


def test_a_face_is_compared_with_few_others_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where faces are compared, with cells of 32 that each face looks into 8 of."""
    compared: list[int] = []
    whole = near_neighbours._alike  # pyright: ignore[reportPrivateUsage]

    def counting(vectors: Any, owners: Any, faces: Any, members: Any, least: float) -> Any:
        compared.append(len(faces) * len(members))
        return whole(vectors, owners, faces, members, least)

    monkeypatch.setattr(near_neighbours, "_alike", counting)
    monkeypatch.setattr(near_neighbours, "CELL", 32)
    monkeypatch.setattr(near_neighbours, "VISITS", 8)

    def each(count: int) -> float:
        compared.clear()
        near_pairs(*_made_up(count, count // 4), 0.65)
        return sum(compared) / count

    few, many = each(2500), each(7500)
    assert many < 1.4 * few  # of all pairs it would be 3 times
    assert many < 7500 / 10


def test_of_many_photos_of_one_person_each_face_names_its_most_alike() -> None:
    vectors, owners = _made_up(EXACT + 100, 3)  # seven hundred photos of each, far more pairs than are kept
    pairs, cosines = near_pairs(vectors, owners, 0.65, most=5)
    table = vectors @ vectors.T
    np.fill_diagonal(table, -1)
    best = {tuple(sorted((face, int(other)))) for face, row in enumerate(table) for other in np.argsort(-row)[:5]}
    found = {(int(a), int(b)) for a, b in pairs}
    assert len(found & best) >= 0.97 * len(best)
    assert len(pairs) <= 5 * len(vectors)
    assert cosines.min() >= 0.65


def test_what_finding_people_takes_is_counted_against_a_known_truth() -> None:
    vectors = made_up_faces(400)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert float((vectors[0::4] * vectors[1::4]).sum(1).mean()) == pytest.approx(1 / (1 + 0.35**2), abs=0.01)
    cost = neighbour_cost(400)
    assert (cost.found, cost.wrong) == (1.0, 0.0)


def test_faces_of_one_photo_are_no_pair() -> None:
    vectors, _ = _made_up(6, 1)
    pairs, _ = near_pairs(vectors, np.array([0, 0, 0, 1, 1, 1]), 0.5, most=20)
    assert {(int(a), int(b)) for a, b in pairs} == {(a, b) for a in range(3) for b in range(3, 6)}
    assert near_pairs(vectors[:1], np.array([0]), 0.5)[0].shape == (0, 2)


def _index() -> FaceIndex:
    def photo(name: str, faces: int = 1) -> IndexedPicture:
        vector = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)
        found = tuple(Face((1.0, 2.0, 30.0, 40.0), face_at(20, 20, 9).landmarks, 0.5, vector) for _ in range(faces))
        return IndexedPicture(Path("/data") / name, 640, 480, found)

    pictures = (photo("a.png", 2), photo("b.png"), photo("c.png"), photo("d.png"), photo("e.png"))
    return FaceIndex(pictures, ((0, 0, 1, 0, 0.7), (0, 0, 2, 0, 0.9), (0, 1, 3, 0, 0.8)), "colour", 0.65, "cosine")


def test_an_index_in_parquet_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "index.parquet", _index())
    read = read_table(tmp_path / "index.parquet")
    assert read.pairs == _index().pairs
    assert (read.embedder, read.threshold, read.scale) == ("colour", 0.65, "cosine")
    for one, other in zip(read.pictures, _index().pictures, strict=True):
        assert (one.file, one.width, len(one.faces)) == (other.file, other.width, len(other.faces))
        assert torch.allclose(one.faces[0].landmarks, other.faces[0].landmarks)
        assert torch.allclose(one.faces[0].embedding, other.faces[0].embedding, atol=1e-3)
    (tmp_path / "bad.parquet").write_bytes(b"none")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        read_table(tmp_path / "bad.parquet")


def test_nobody_is_in_training_and_test_and_each_face_has_its_best_reference() -> None:
    train, test = split_people(_index(), 0.5)
    shown = {picture.file.name for picture in train.pictures}, {picture.file.name for picture in test.pictures}
    assert not shown[0] & shown[1]
    everybody, nobody = split_people(_index(), 0.0)
    assert len(everybody.pictures) == 5
    assert not nobody.pictures
    assert best_references(_index()) == (
        (0, 0, 2, 0, 0.9), (0, 1, 3, 0, 0.8), (1, 0, 0, 0, 0.7), (2, 0, 0, 0, 0.9), (3, 0, 0, 1, 0.8),
    )  # fmt: skip
