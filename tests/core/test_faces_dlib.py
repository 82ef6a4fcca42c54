"""The default analyzer on real photos."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dlib
import face_recognition_models
import pytest
import torch
import torch.nn.functional as F
from harness.people import aligned_photo, astronaut_photo, group_photo
from harness.refusals import raises_naming

from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces import DetectionOptions, Faces, load_face_analyzer
from headsup_core.faces.analyzer import AnalyzerBase, to_bytes
from headsup_core.faces.backends import dlib as dlib_backend
from headsup_core.faces.backends.dlib import LOOKS, MAX_TURNED_PIXELS, MAX_WORK_PIXELS, _work_copy
from headsup_core.faces.backends.dlib_network import load_dlib_network
from headsup_core.faces.landmarks import Candidate, find_landmarks
from headsup_core.host import PlainHost
from headsup_core.identity.similarity import calibration_of, compare
from headsup_core.training.data.degradation import degrade

LARGE = DetectionOptions(min_eye_distance=30.0)
"""Whatever is not about small faces is found sooner so."""
# where the eyes, the nose and the mouth corners of the astronaut are, read off the picture at 800 %
ASTRONAUT = torch.tensor([[203.0, 100.1], [246.6, 103.3], [223.0, 126.4], [202.3, 140.1], [243.3, 141.8]])


@pytest.fixture(scope="module")
def analyzer() -> AnalyzerBase:
    return load_face_analyzer("dlib")


@pytest.fixture(scope="module")
def astronaut(analyzer: AnalyzerBase) -> Faces:
    """What is found in the astronaut's photo."""
    return analyzer.detect(astronaut_photo())


@pytest.fixture(scope="module")
def group(analyzer: AnalyzerBase) -> Faces:
    """What is found in the photo of six people."""
    return analyzer.detect(group_photo(), LARGE)


def _error(landmarks: torch.Tensor, true: torch.Tensor) -> float:
    """Mean distance in eye distances."""
    return float((landmarks - true).norm(dim=1).mean() / (true[1] - true[0]).norm())


def test_finds_the_astronaut_and_her_landmarks(astronaut: Faces) -> None:
    assert astronaut.count == 1
    assert (astronaut.height, astronaut.width) == (512, 512)
    (face,) = astronaut[0]
    assert face.score > 0.9
    assert _error(face.landmarks, ASTRONAUT) < 0.1
    x0, y0, x1, y1 = face.box
    assert x0 < ASTRONAUT[:, 0].min() < ASTRONAUT[:, 0].max() < x1
    assert y0 < ASTRONAUT[:, 1].min() < ASTRONAUT[:, 1].max() < y1


@pytest.mark.parametrize("seed", range(6))
def test_finds_her_degraded_at_a_quarter(analyzer: AnalyzerBase, seed: int) -> None:
    portrait = astronaut_photo()[..., :256, 96:352]
    bad = degrade(F.interpolate(portrait, size=(384, 384), mode="bicubic").clamp(0, 1), "realesrgan", seed)
    faces = analyzer.detect(bad).scaled_to(256, 256)
    assert faces.count == 1
    assert _error(faces[0][0].landmarks, ASTRONAUT - torch.tensor([96.0, 0.0])) < 0.3


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_finds_a_picture_that_lies_or_stands_on_its_head(analyzer: AnalyzerBase, quarters: int) -> None:
    faces = analyzer.detect(torch.rot90(astronaut_photo(), quarters, dims=(-2, -1)), LARGE)
    assert faces.count == 1
    points = ASTRONAUT
    for _ in range(quarters):  # a quarter turn counterclockwise of a square picture
        points = torch.stack([points[:, 1], 511 - points[:, 0]], dim=1)
    assert _error(faces[0][0].landmarks, points) < 0.1


def test_finds_everybody_in_the_group_in_a_stable_order(analyzer: AnalyzerBase, group: Faces) -> None:
    assert group.count == 6
    areas = [face.area for face in group[0]]
    assert all(later < 1.12 * earlier for earlier, later in itertools.pairwise(areas))
    again = analyzer.detect(group_photo(), LARGE)
    assert [face.box for face in again[0]] == [face.box for face in group[0]]
    largest = analyzer.detect(group_photo(), replace(LARGE, max_faces=2))
    assert [face.box for face in largest[0]] == [face.box for face in group[0][:2]]


@pytest.mark.parametrize("eyes", [8.0, 5.0, 3.5])
def test_finds_tiny_faces_by_default(analyzer: AnalyzerBase, astronaut: Faces, eyes: float) -> None:
    (known,) = astronaut[0]
    height, width = (round(side * eyes / known.eye_distance) for side in astronaut_photo().shape[-2:])
    tiny = F.interpolate(astronaut_photo(), size=(height, width), mode="area")
    found = analyzer.detect(tiny)
    assert found.count == 1
    away = found.scaled_to(*astronaut_photo().shape[-2:])[0][0].landmarks - known.landmarks
    assert float(away.norm(dim=1).mean()) < 0.15 * known.eye_distance


def test_finds_faces_of_a_tiny_group_that_the_hog_alone_misses(
    analyzer: AnalyzerBase, group: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = group_photo()
    scale = 3.0 / min(face.eye_distance for face in group[0])
    size = [round(side * scale) for side in photo.shape[-2:]]
    tiny = F.interpolate(photo, size=size, mode="area")
    found = analyzer.detect(tiny).scaled_to(*photo.shape[-2:])[0]
    for one in found:
        away = min(float((one.landmarks - face.landmarks).norm(dim=1).mean()) for face in group[0])
        assert away < 0.3 * one.eye_distance
    monkeypatch.setattr(dlib_backend, "TINY_PICTURE", 0)
    assert analyzer.detect(tiny).count + 2 <= len(found)


def test_finds_a_face_that_fills_the_picture(analyzer: AnalyzerBase) -> None:
    assert analyzer.detect(aligned_photo()).count == 1


def test_finds_none_where_there_is_none(analyzer: AnalyzerBase) -> None:
    from skimage import data

    for name in ("coffee", "rocket", "camera"):
        picture = torch.from_numpy(getattr(data, name)())
        planes = picture.expand(3, *picture.shape[:2]) if picture.ndim == 2 else picture.permute(2, 0, 1)
        found = analyzer.detect(planes[None].float() / 255)[0]
        # the cameraman is seen from the side
        assert len(found) <= (name == "camera"), name


def test_cancel_works_between_any_two_looks() -> None:
    class Cancelled(BaseException):
        """As ComfyUI's."""

    class Host(PlainHost):
        asked = 0

        def check_cancelled(self) -> None:
            self.asked += 1
            if self.asked == 4:
                raise Cancelled

    host = Host("cpu")
    with pytest.raises(Cancelled):
        load_face_analyzer("dlib", host).detect(torch.full((1, 3, 64, 64), 0.5))
    assert host.asked == 4


def test_large_pictures_are_turned_at_a_bounded_size() -> None:
    look, picture = LOOKS[0], torch.rand(1, 3, 900, 1600)
    work, factor = _work_copy(picture, look, 12, MAX_TURNED_PIXELS)
    assert factor == pytest.approx((MAX_TURNED_PIXELS / (900 * 1600)) ** 0.5)
    assert work.shape[-2] * work.shape[-1] == pytest.approx(MAX_TURNED_PIXELS, rel=0.01)
    small = picture[..., :200, :200]
    whole = _work_copy(small, look, 12, MAX_WORK_PIXELS)
    assert torch.equal(_work_copy(small, look, 12, MAX_TURNED_PIXELS)[0], whole[0])
    assert whole[1] == pytest.approx(80 / (2.4 * 12))


def test_of_hundreds_of_turned_candidates_the_best_are_looked_at(
    analyzer: AnalyzerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def counted(image: torch.Tensor, candidates: Sequence[Candidate]) -> tuple[torch.Tensor, torch.Tensor]:
        looked_at.append(len(candidates))
        return find_landmarks(image, candidates)

    monkeypatch.setattr(dlib_backend, "find_landmarks", counted)
    lying = torch.rot90(astronaut_photo(), 1, dims=(-2, -1))
    analyzer.detect(lying, LARGE)
    assert max(looked_at[1:]) > 3
    monkeypatch.setattr(dlib_backend, "MAX_TURNED_CANDIDATES", 3)
    looked_at.clear()
    assert analyzer.detect(lying, LARGE).count == 1
    assert max(looked_at[1:]) == 3


def test_tiny_and_thin_pictures_have_no_face_and_do_no_harm(analyzer: AnalyzerBase) -> None:
    for height, width in ((1, 1), (2, 400), (300, 3)):
        faces = analyzer.detect(torch.rand(1, 3, height, width))
        assert (faces.count, faces.height, faces.width) == (0, height, width)


def test_a_batch_is_the_sum_of_its_pictures(analyzer: AnalyzerBase, astronaut: Faces) -> None:
    empty = torch.full_like(astronaut_photo(), 0.5)
    faces = analyzer.detect(torch.cat([empty, astronaut_photo()]))
    assert [len(found) for found in faces] == [0, 1]
    assert faces[1][0].box == astronaut[0][0].box
    with raises_naming(InputError, 1, 2, 3, "NaN"):
        analyzer.detect(torch.cat([empty, empty.clone().index_fill_(-1, torch.tensor([0]), 0)]).masked_fill(
            torch.arange(2).view(2, 1, 1, 1).bool() & (torch.arange(512 * 512).view(1, 1, 512, 512) == 5), float("nan")
        ))  # fmt: skip


def test_embedding_knows_a_person_again(analyzer: AnalyzerBase, astronaut: Faces, group: Faces) -> None:
    faces = analyzer.embed(astronaut_photo(), astronaut)
    (face,) = faces[0]
    assert face.embedding is not None
    assert float(face.embedding.norm()) == pytest.approx(1, abs=1e-5)
    smaller = F.interpolate(astronaut_photo(), scale_factor=0.6, mode="bicubic", antialias=True).clamp(0, 1)
    changed = (smaller * 0.8).flip(-1)
    same = analyzer.embed(changed, analyzer.detect(changed))[0][0].embedding
    people = analyzer.embed(group_photo(), group)[0]
    assert same is not None
    assert compare(face.embedding, same, analyzer.embedder_id).verdict == "same person"
    strangers = [compare(face.embedding, other.embedding, analyzer.embedder_id) for other in people if
                 other.embedding is not None]  # fmt: skip
    assert len(strangers) == 6
    assert all(stranger.verdict == "different people" for stranger in strangers)
    assert calibration_of(analyzer.embedder_id).measured


def test_embedding_scales_the_faces_to_the_picture(analyzer: AnalyzerBase, astronaut: Faces) -> None:
    double = F.interpolate(astronaut_photo(), scale_factor=2, mode="bicubic").clamp(0, 1)
    a = analyzer.embed(astronaut_photo(), astronaut)[0][0].embedding
    b = analyzer.embed(double, astronaut)[0][0].embedding
    assert a is not None
    assert b is not None
    assert float(a @ b) > 0.995
    with raises_naming(InputError, 1, 2):
        analyzer.embed(torch.cat([double, double]), astronaut)


def test_landmark_net_doubts_what_is_no_face() -> None:
    here = Candidate(228.0, 131.0, 43.0)
    nowhere = Candidate(400.0, 400.0, 43.0)
    landmarks, logits = find_landmarks(astronaut_photo(), [here, nowhere])
    assert landmarks.shape == (2, 5, 2)
    assert logits[0] > 2
    assert logits[1] < -2
    assert find_landmarks(astronaut_photo(), [])[0].shape == (0, 5, 2)


def test_vectors_are_those_of_dlib() -> None:
    """Chips of whole pictures and of noise, one by one through dlib itself."""
    file = face_recognition_models.face_recognition_model_location()
    chips = torch.cat([
        F.interpolate(astronaut_photo(), size=(150, 150), mode="area"),
        astronaut_photo()[..., 40:190, 150:300],
        torch.rand(1, 3, 150, 150, generator=torch.Generator().manual_seed(2)),
    ])  # fmt: skip
    theirs = dlib.face_recognition_model_v1(file)

    vectors = load_dlib_network(Path(file))((chips * 255).round())

    for chip, vector in zip(chips.split(1), vectors, strict=True):
        expected = torch.tensor(list(theirs.compute_face_descriptor(to_bytes(chip))))
        assert torch.allclose(vector, expected, atol=2e-6)


@pytest.mark.parametrize("kept", [0, 1000, 300_000, 22_000_000])
def test_cut_or_other_recogniser_is_refused(tmp_path: Path, kept: int) -> None:
    whole = Path(face_recognition_models.face_recognition_model_location()).read_bytes()
    (tmp_path / "cut.dat").write_bytes(whole[:kept])

    with raises_naming(ModelFileError, "cut.dat"):
        load_dlib_network(tmp_path / "cut.dat")
