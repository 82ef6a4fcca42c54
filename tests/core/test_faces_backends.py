"""insightface, OpenCV and facexlib: the real libraries, with model files of the real signatures and made-up weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness.face_models import SCRFD_POINTS, make_arcface, make_pack, make_parsenet, make_retinaface, spots
from harness.faces import face_at
from harness.refusals import raises_naming

from headsup_core.benchmark.recognising.face_region import FaceRegion
from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces import BACKENDS, DetectionOptions, Faces, analyzer_of, load_face_analyzer
from headsup_core.faces.backends import yunet as yunet_module
from headsup_core.faces.backends.facexlib import FACE_LABELS, FacexlibAnalyzer
from headsup_core.faces.backends.yunet import YuNet
from headsup_core.faces.masks import FacePixels, Outline, faces_mask
from headsup_core.host import PlainHost

LARGE = DetectionOptions(min_eye_distance=12)
"""Networks of random weights see faces everywhere when they are asked to look finely."""


@pytest.fixture
def host(tmp_path: Path) -> PlainHost:
    return PlainHost("cpu", tmp_path)


def _pack(tmp_path: Path, name: str = "buffalo_l") -> Path:
    return tmp_path / "insightface" / "models" / name


@pytest.mark.parametrize("nested", [False, True])
def test_insightface_finds_and_embeds_from_flat_and_nested_packs(
    tmp_path: Path, host: PlainHost, nested: bool
) -> None:
    make_pack(_pack(tmp_path, "antelopev2"), nested=nested)
    analyzer = load_face_analyzer("insightface", host, pack="antelopev2")
    assert analyzer.embedder_id == "insightface_w600k_r50"
    image = spots(640, 640, (176, 240), (432, 400), radius=24)
    faces = analyzer.detect(image, LARGE)
    assert faces.count == 2
    left = min(faces[0], key=lambda face: face.box[0])
    centre = left.landmarks - torch.tensor(SCRFD_POINTS) * left.eye_distance / 2
    assert float((centre - torch.tensor([176.0, 240.0])).norm(dim=1).max()) < 40
    embedded = analyzer.embed(image, faces)
    vectors = [face.embedding for face in embedded[0]]
    assert all(vector is not None and vector.shape == (512,) for vector in vectors)
    assert all(abs(float(vector.norm()) - 1) < 1e-5 for vector in vectors if vector is not None)
    assert faces[0][0].embedding is None


def test_insightface_without_faces_and_without_a_recogniser(tmp_path: Path, host: PlainHost) -> None:
    make_pack(_pack(tmp_path), recogniser=False, blind=True)
    analyzer = load_face_analyzer("insightface", host)
    assert analyzer.embedder_id == ""
    assert analyzer.detect(spots(200, 300)).count == 0
    with pytest.raises(InputError):
        analyzer.embed(spots(200, 300), Faces(((),), 200, 300))


def test_insightface_packs_that_are_no_packs(tmp_path: Path, host: PlainHost) -> None:
    with raises_naming(ModelFileError, "download buffalo_l"):
        load_face_analyzer("insightface", host)
    _pack(tmp_path).mkdir(parents=True)
    (_pack(tmp_path) / "readme.txt").write_text("")
    with raises_naming(ModelFileError, ".onnx", "readme.txt"):
        load_face_analyzer("insightface", host)
    make_arcface(_pack(tmp_path) / "w600k_r50.onnx")
    with raises_naming(ModelFileError, "w600k_r50.onnx"):
        load_face_analyzer("insightface", host)
    (_pack(tmp_path) / "det_10g.onnx").write_bytes(b"no network at all")
    with raises_naming(ModelFileError, "det_10g.onnx"):
        load_face_analyzer("insightface", host)
    with pytest.raises(InputError):
        load_face_analyzer("insightface", host, pack="../../..")


def test_facexlib_finds_with_a_random_network_and_parses(
    tmp_path: Path, host: PlainHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_retinaface(tmp_path / "facedetection" / "detection_mobilenet0.25_Final.pth")
    analyzer = load_face_analyzer("facexlib", host)
    assert isinstance(analyzer, FacexlibAnalyzer)
    faces = analyzer.detect(torch.rand(1, 3, 80, 80), LARGE)
    assert faces.count == 1
    assert faces[0][0].eye_distance == pytest.approx(64, abs=1)
    assert not analyzer.parses
    with raises_naming(InputError, "parsing_parsenet.pth", "models/facedetection"):
        analyzer.parse(torch.rand(1, 3, 80, 80), faces[0][0])
    with raises_naming(InputError, "facexlib"):
        analyzer.embed(torch.rand(1, 3, 80, 80), faces)
    make_parsenet(tmp_path / "facedetection" / "parsing_parsenet.pth")
    parsing = load_face_analyzer("facexlib", host)
    assert isinstance(parsing, FacexlibAnalyzer)
    image = torch.rand(1, 3, 120, 140)
    at = Faces(((face_at(70, 60, 25),),), 120, 140)
    parsed: list[tuple[torch.Tensor, torch.Tensor]] = []
    parse = parsing.parse
    monkeypatch.setattr(parsing, "parse", lambda *given: parsed.append(parse(*given)) or parsed[-1])
    mask = faces_mask(at, outline=Outline("parsing"), pixels=FacePixels(image, parsing))
    ((labels, matrix),) = parsed
    assert labels.shape == (1, 1, 512, 512)
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    # background, hair, hat, earrings, necklace, neck, clothes
    assert FACE_LABELS.isdisjoint({0, 13, 14, 15, 16, 17, 18})
    assert matrix.shape == (2, 3)
    assert mask.shape == (1, 1, 120, 140)
    assert float(mask.min()) >= 0
    assert 0 < float(mask.max()) <= 1


def test_facexlib_finds_nothing_where_its_network_sees_nothing(tmp_path: Path, host: PlainHost) -> None:
    make_retinaface(tmp_path / "facedetection" / "detection_mobilenet0.25_Final.pth", finds=False)
    assert load_face_analyzer("facexlib", host).detect(torch.rand(2, 3, 60, 90)).count == 0


def test_facexlib_files_that_are_none(tmp_path: Path, host: PlainHost) -> None:
    folder = tmp_path / "facedetection"
    with raises_naming(ModelFileError, "detection_Resnet50_Final.pth", "download retinaface"):
        load_face_analyzer("facexlib", host)
    path = make_retinaface(folder / "detection_mobilenet0.25_Final.pth")
    state = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in state.items() if "BboxHead.1" not in name}, path)
    with raises_naming(ModelFileError, "RetinaFace", "BboxHead.1"):
        load_face_analyzer("facexlib", host)
    state["BboxHead.1.conv1x1.bias"] = torch.full_like(state["BboxHead.1.conv1x1.bias"], float("nan"))
    torch.save(state, path)
    with raises_naming(ModelFileError, "BboxHead.1.conv1x1.bias"):
        load_face_analyzer("facexlib", host)
    path.write_bytes(path.read_bytes()[:1000])
    with raises_naming(ModelFileError, "detection_mobilenet0.25_Final.pth"):
        load_face_analyzer("facexlib", host)


def test_opencv_files_that_are_none(tmp_path: Path, host: PlainHost) -> None:
    with raises_naming(ModelFileError, "face_detection_yunet_2023mar.onnx"):
        load_face_analyzer("opencv", host)
    folder = tmp_path / "facedetection"
    folder.mkdir()
    (folder / "face_detection_yunet_2023mar.onnx").write_bytes(b"no network at all")
    with pytest.raises(ModelFileError):
        load_face_analyzer("opencv", host)


class FakeYuNet:
    """Answers as OpenCV's detector does, and says what it was shown."""

    def __init__(self, rows: np.ndarray | None) -> None:
        self.rows, self.asked = rows, dict[str, object]()

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 - OpenCV's names
        self.asked["size"] = size

    def setScoreThreshold(self, value: float) -> None:  # noqa: N802
        self.asked["score"] = value

    def setNMSThreshold(self, value: float) -> None:  # noqa: N802
        self.asked["nms"] = value

    def setTopK(self, value: int) -> None:  # noqa: N802
        self.asked["top"] = value

    def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        self.asked["first pixel"] = picture[0, 0].tolist()
        self.asked["shape"] = picture.shape
        return 1, self.rows


def yunet_row(x: float, y: float, score: float) -> list[float]:
    points = [(x + dx, y + dy) for dx, dy in ((2, 3), (6, 3), (4, 5), (3, 7), (5, 7))]
    return [x, y, 8.0, 9.0, *(value for point in points for value in point), score]


def make_yunet(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: np.ndarray | None) -> tuple[YuNet, FakeYuNet]:
    fake = FakeYuNet(rows)
    library = SimpleNamespace(FaceDetectorYN=SimpleNamespace(create=lambda *_: fake), error=RuntimeError)
    monkeypatch.setattr(yunet_module, "need", lambda *_: library)
    file = folder / "yunet.onnx"
    file.write_bytes(b"weights")
    return YuNet(file), fake


def test_yunet_is_shown_the_picture_as_opencv_has_it_and_its_rows_become_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.array([yunet_row(10, 20, 0.7), yunet_row(40, 5, 0.9)], dtype=np.float32)
    yunet, fake = make_yunet(monkeypatch, tmp_path, rows)
    picture = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 48, 64)
    first, second = yunet(picture, 0.65)
    assert fake.asked == {
        "size": (64, 48),
        "score": 0.65,
        "nms": 0.3,
        "top": 5000,
        "first pixel": [0, 128, 255],
        "shape": (48, 64, 3),
    }
    assert first.box == (10, 20, 18, 29)
    assert first.landmarks.tolist() == [[12, 23], [16, 23], [14, 25], [13, 27], [15, 27]]
    best = yunet.best(picture)
    assert best is not None
    assert best.box == second.box == (40, 5, 48, 14)
    assert best.score == pytest.approx(0.9)


def test_the_benchmarks_face_region_is_yunets_surest_box_with_a_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.1 of its size on each side: of (100, 50, 180, 140) 8 across and 9 down; and cut at the border."""
    sure, border = yunet_row(100, 50, 0.9), yunet_row(-5, 195, 0.8)
    for row in (sure, border):
        row[2:4] = [80.0, 90.0]
    _, fake = make_yunet(monkeypatch, tmp_path, np.array([border, sure], dtype=np.float32))
    region = FaceRegion(tmp_path / "yunet.onnx")
    assert region(torch.zeros(1, 3, 240, 320)) == (slice(41, 149), slice(92, 188))
    assert fake.asked["score"] == 0.7
    fake.rows = np.array([border], dtype=np.float32)
    assert region(torch.zeros(1, 3, 240, 320)) == (slice(186, 240), slice(0, 83))
    fake.rows = None
    assert region(torch.zeros(1, 3, 240, 320)) is None


def test_yunet_without_a_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yunet, _ = make_yunet(monkeypatch, tmp_path, None)
    assert yunet(torch.rand(1, 3, 20, 30)) == []
    assert yunet.best(torch.rand(1, 3, 20, 30)) is None


def test_a_file_of_yunet_that_is_not_there(tmp_path: Path) -> None:
    with raises_naming(ModelFileError, "yunet.onnx"):
        YuNet(tmp_path / "yunet.onnx")


def test_faces_say_who_found_them_and_that_loads_it_again(tmp_path: Path, host: PlainHost) -> None:
    make_pack(_pack(tmp_path, "antelopev2"))
    analyzer = load_face_analyzer("insightface", host, pack="antelopev2")
    faces = analyzer.detect(torch.rand(1, 3, 64, 64))
    assert faces.analyzer == "insightface:antelopev2"

    again = analyzer_of(faces, host)
    assert isinstance(again, type(analyzer))
    assert again.analyzer_id == faces.analyzer
    assert analyzer_of(Faces(((),), 8, 8), host) is None
    with raises_naming(InputError, "yolo:7"):
        analyzer_of(Faces(((),), 8, 8, "yolo:7"), host)
    with raises_naming(ModelFileError, "buffalo_l"):
        analyzer_of(Faces(((),), 8, 8, "insightface:buffalo_l"), host)


def test_unknown_names_and_options_are_refused(host: PlainHost) -> None:
    with raises_naming(InputError, "yolo", "dlib", "insightface", "opencv", "facexlib"):
        load_face_analyzer("yolo")
    with raises_naming(InputError, "dlib", "pack"):
        load_face_analyzer("dlib", host, pack="x")


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch, host: PlainHost) -> None:
    import sys

    for backend, module, package in (
        ("dlib", "dlib", "dlib-bin"),
        ("insightface", "insightface.model_zoo", "'insightface>=2'"),
        ("opencv", "cv2", "opencv-python"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with raises_naming(InputError, module, f"pip install {package}"):
            load_face_analyzer(backend, host)
        monkeypatch.undo()


def test_every_backend_says_its_licence_and_whether_it_may_be_used_commercially() -> None:
    assert {name: backend.licence.commercial_use for name, backend in BACKENDS.items()} == {
        "dlib": True,
        "insightface": False,
        "opencv": True,
        "facexlib": False,
        "bundled": True,
    }
    assert "commercial use: NO" in str(BACKENDS["insightface"].licence)
