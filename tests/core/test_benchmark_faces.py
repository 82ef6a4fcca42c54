"""References, likeness and targets, with an analyzer whose faces and people are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from harness.face_models import make_arcface
from harness.refusals import raises_naming
from PIL import Image
from typing_extensions import override

from headsup_core.benchmark.aiming.aims import ANY, BICUBIC, CRISP, FAITHFUL, TODAY, Aim, Task
from headsup_core.benchmark.aiming.targets import Material, Targets, faceless
from headsup_core.benchmark.aiming.tasks import SMALL_PORTRAITS
from headsup_core.benchmark.comparing.cases import CleanFolder
from headsup_core.benchmark.comparing.contestants import Reference, System
from headsup_core.benchmark.comparing.evaluate import Judges, Outcome, evaluate
from headsup_core.benchmark.comparing.peers import Bicubic
from headsup_core.benchmark.comparing.system_names import SystemName, make_systems, with_paths
from headsup_core.benchmark.metrics.all_metrics import Metrics
from headsup_core.benchmark.recognising.likeness import Likeness
from headsup_core.benchmark.recognising.recognisers import AnalyzersRecogniser, NetworkRecogniser
from headsup_core.benchmark.reporting.tables import make_table
from headsup_core.cli import main
from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces.alignment import align_matrix, crop
from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence
from headsup_core.faces.face import Face
from headsup_core.host import PlainHost
from headsup_core.identity.identity import Identity
from headsup_core.imaging.resizing import resize
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.headsup_model import HeadsUpModel, load_model

LANDMARKS = torch.tensor([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.38, 0.7], [0.62, 0.7]])
COLOURS = {"ada": (0.9, 0.2, 0.2), "bob": (0.2, 0.8, 0.2), "cyd": (0.2, 0.3, 0.9)}


class ColourAnalyzer(AnalyzerBase):
    """One face in the middle of every picture that is not dark; people are told apart by their colour."""

    name = "colour"
    licence = Licence("none", True)
    embedder_id = "colour"
    needs = ""

    def __init__(self) -> None:
        self.embedded_at: list[torch.Tensor] = []

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        side = picture.shape[-1]
        if float(picture.mean()) < 0.1:
            return []
        return [Face((0.2 * side, 0.2 * side, 0.8 * side, 0.8 * side), LANDMARKS * side, 0.9)]

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        self.embedded_at += [face.landmarks for face in faces]
        return [picture.mean((0, 2, 3)) + 1e-6 for _ in faces]


class Told(Bicubic):
    """Paints whoever it is told is there; remembers the names."""

    def __init__(self, tells: Reference) -> None:
        object.__setattr__(self, "name", f"told+{tells}")
        object.__setattr__(self, "tells", tells)
        object.__setattr__(self, "told", [])

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        [person] = people
        getattr(self, "told").append(person.name)  # noqa: B009 - the base is frozen
        return torch.tensor(COLOURS[person.name]).view(1, 3, 1, 1).expand(1, 3, height, width)


class Dark(Bicubic):
    """Hides the face."""

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        return 0.05 * resize(image, height, width)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two photos each of three people; the second is a little brighter."""
    folder = tmp_path / "people"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for name, colour in COLOURS.items():
        for number in (0, 1):
            picture = torch.tensor(colour).view(3, 1, 1) + 0.05 * number * torch.tensor([1.0, 0, 1]).view(3, 1, 1)
            picture = (picture + 0.05 * torch.rand(3, 192, 192, generator=generator)).clamp(0, 1)
            Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy()).save(folder / f"{name}_{number}.png")
    return folder


def _evaluate(folder: Path, systems: Sequence[System], analyzer: ColourAnalyzer) -> Outcome:
    likeness = Likeness(analyzer, [AnalyzersRecogniser(analyzer)])
    cases = CleanFolder(folder, "x4-mild", 96, pairs=True)
    return evaluate(cases, systems, Judges(Metrics.made(), likeness), keep=1, quiet=True)


def test_everybody_is_restored_with_another_photo_of_his_own(people: Path) -> None:
    cases = CleanFolder(people, "x4-mild", 96, pairs=True)
    pairs = {path.stem: getattr(cases.reference_of(path), "stem", None) for path in cases.files()}
    assert pairs == {f"{name}_{n}": f"{name}_{1 - n}" for name in COLOURS for n in (0, 1)}
    strangers = {path.stem: getattr(cases.stranger_of(path), "stem", "")[:3] for path in cases.files()}
    assert strangers == {f"{a}_{n}": b for a, b in (("ada", "bob"), ("bob", "cyd"), ("cyd", "ada")) for n in (0, 1)}
    assert len(CleanFolder(people, "x4-mild", 96, pairs=True, limit=3).files()) == 4  # whole people
    first = CleanFolder(people, "x4-mild", 96, pairs=True, people=2, one_each=True)
    assert [path.stem for path in first.files()] == ["ada_0", "bob_0"]
    assert getattr(first.reference_of(first.files()[0]), "stem", None) == "ada_1"
    (people / "ada_1.png").unlink()
    assert {path.stem[:3] for path in replace(cases).files()} == {"bob", "cyd"}  # ada has no reference
    for name in ("bob_1", "cyd_1"):
        (people / f"{name}.png").unlink()
    with raises_naming(InputError, people):
        replace(cases).files()


def test_likeness_to_truth_and_reference(people: Path) -> None:
    right, wrong = Told("reference"), Told("stranger")
    outcome = _evaluate(people, [Bicubic(), right, wrong], ColourAnalyzer())
    assert outcome.failures == []
    assert getattr(right, "told") == [name for name in COLOURS for _ in (0, 1)]  # noqa: B009
    assert getattr(wrong, "told") == ["bob", "bob", "cyd", "cyd", "ada", "ada"]  # noqa: B009
    scores = {record.system: record.face for record in outcome.records if record.case == "ada_0"}
    assert scores["bicubic"]["id_colour"] == pytest.approx(1, abs=0.05)
    assert scores["told+reference"]["id_colour"] == pytest.approx(1, abs=0.1)
    assert scores["told+stranger"]["id_colour"] < 0.3
    assert scores["told+stranger"]["id_colour_ref"] == pytest.approx(1, abs=0.1)  # it became the stranger
    assert scores["bicubic"]["missed"] == 0
    assert scores["bicubic"]["landmarks"] == 0
    assert {record.person for record in outcome.records} == set(COLOURS)


def test_scale_is_calibrated_on_the_clean_pairs_of_the_run(people: Path) -> None:
    analyzer = ColourAnalyzer()
    likeness = Likeness(analyzer, [AnalyzersRecogniser(analyzer)]).of(CleanFolder(people, "x4-mild", 96, pairs=True))
    vectors = [face.vectors["colour"] for face in likeness.known.values() if face is not None]
    same = [float(vectors[i] @ vectors[i + 1]) for i in (0, 2, 4)]
    different = [float(vectors[i] @ vectors[j]) for i in range(6) for j in range(i) if i // 2 != j // 2]
    scale = likeness.calibrations["colour"]
    assert scale.same == pytest.approx(sum(same) / 3, abs=1e-5)
    assert scale.different == pytest.approx(sum(different) / 12, abs=1e-5)
    alone = Likeness(analyzer, [AnalyzersRecogniser(analyzer)]).of(CleanFolder(people, "x4-mild", 96, limit=1))
    assert not alone.calibrations["colour"].measured
    assert any("assumed, not measured" in note for note in alone.notes())


def test_a_face_that_is_lost_counts_and_is_embedded_where_the_truth_has_it(people: Path) -> None:
    analyzer = ColourAnalyzer()
    outcome = _evaluate(people, [Dark("dark")], analyzer)
    assert [record.face["missed"] for record in outcome.records] == [1.0] * 6
    assert all("landmarks" not in record.face and "id_colour" in record.face for record in outcome.records)
    assert torch.equal(analyzer.embedded_at[-1], LANDMARKS * 96)
    table = make_table("title", outcome, "dark")
    assert "| dark |" in table
    assert "6 pictures of 3 people" in table


def test_a_system_that_wants_a_photo_is_told_how_to_get_one(people: Path) -> None:
    analyzer = ColourAnalyzer()
    judges = Judges(Metrics.made(), Likeness(analyzer, [AnalyzersRecogniser(analyzer)]))
    outcome = evaluate(CleanFolder(people, "x4-mild", 96), [Told("reference")], judges, 0, quiet=True)
    assert len(outcome.failures) == 6
    assert "--reference-pairs" in outcome.failures[0]


class Mean(torch.nn.Module):
    """A recogniser to which people are their mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    @override
    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        self.seen.append(faces)
        return faces.mean((2, 3))


def test_networks_give_unit_vectors_of_aligned_faces() -> None:
    """The network sees the face upright at ArcFace's place, whatever the picture's size."""
    network = Mean()
    recogniser = NetworkRecogniser(network, "mean", trained_against=True)
    face = Face((0, 0, 200, 200), LANDMARKS * 200, 1.0)
    vector = recogniser.embed(torch.full((1, 3, 200, 200), 0.5), face)
    assert network.seen[0].shape == (1, 3, 112, 112)
    assert vector.tolist() == pytest.approx([3**-0.5] * 3)


def test_onnx_recogniser_judges_as_its_file_computes(tmp_path: Path) -> None:
    """Files are fed as InsightFace feeds its own: RGB in -1..1, aligned, and the vectors have length 1."""
    import onnxruntime

    file = make_arcface(tmp_path / "stranger.onnx", size=16)
    recogniser = NetworkRecogniser.from_file(file)
    assert (recogniser.name, recogniser.trained_against) == ("stranger", False)
    picture = torch.rand(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    face = Face((0, 0, 200, 200), LANDMARKS * 200, 1.0)
    aligned = crop(picture, align_matrix(face.landmarks, 112, "arcface"), 112)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    raw = torch.from_numpy(session.run(None, {"input.1": (aligned * 2 - 1).numpy()})[0][0])
    assert recogniser.embed(picture, face) == pytest.approx(raw / raw.norm(), abs=1e-5)


@pytest.mark.parametrize("name", ["a_ref.onnx", "a|b.onnx", "a b.onnx"])
def test_names_that_cannot_head_a_column_are_refused(name: str, tmp_path: Path) -> None:
    """`id_a_ref` is the likeness to the reference by `a`."""
    with raises_naming(InputError, Path(name).stem):
        NetworkRecogniser.from_file(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recogniser", "{}/a/r.onnx", "--recogniser", "{}/b/r.onnx"], " r, "),
        (["--recogniser", "{}/a/r.onnx", "--trained-against", "w600k"], "w600k"),
        (
            ["--recogniser", "{}/a/r.onnx", "--trained-against", "dlib,r"],
            "trained against",
        ),
    ],
)
def test_recognisers_that_cannot_judge_are_refused(
    options: list[str], message: str, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make_arcface(tmp_path / folder / "r.onnx", size=16)
    given = [option.format(tmp_path) for option in options]
    folders = ["--portraits", str(people), "--output", str(tmp_path / "out")]
    assert main(["benchmark", "targets", "headsup-tiny", *given, *folders]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def toy_file(toy_model: OneStepModel, tmp_path: Path) -> Path:
    save_headsup(tmp_path / "toy.safetensors", toy_model)
    return tmp_path / "toy.safetensors"


def test_specs_of_systems(toy_file: Path) -> None:
    host = PlainHost("cpu")
    plain, told, stranger = make_systems([str(toy_file), f"{toy_file}+reference", f"{toy_file}:tile=64+stranger"], host)
    assert [each.name for each in (plain, told, stranger)] == ["toy", "toy+reference", "toy:tile=64+stranger"]
    assert [each.tells for each in (plain, told, stranger)] == ["", "reference", "stranger"]
    assert getattr(plain, "model") is getattr(told, "model")  # noqa: B009 - loaded once
    assert with_paths("headsup-tiny:color_fix=lab", host).endswith("bundled/headsup-tiny.safetensors:color_fix=lab")
    with raises_naming(ModelFileError, "toy"):
        make_systems([f"{toy_file}@base={toy_file}"], host)


def test_a_restorer_says_whose_face_it_is_and_counts_where_nobody_was_recognised(
    people: Path, toy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []

    def restored(image: torch.Tensor, model: object, **options: Any) -> SimpleNamespace:
        given.append(options)
        return SimpleNamespace(image=torch.zeros(1, 3, 96, 96), faces=options["faces"])

    monkeypatch.setattr("headsup_core.benchmark.comparing.contestants.restore", restored)
    analyzer = ColourAnalyzer()
    names = [f"{toy_file}+{told}" for told in ("reference", "assigned", "stranger")]
    outcome = _evaluate(people, make_systems(names, PlainHost("cpu"), analyzer), analyzer)
    assert outcome.failures == []
    told = [(one["people"][0].name, one["faces"][0][0].identity) for one in given[:3]]
    assert told == [("ada", None), ("ada", "ada"), ("bob", "bob")]
    assert "toy+reference: the person was not recognised in 6 of 6" in outcome.notes
    assert not any("toy+assigned" in note for note in outcome.notes)


@pytest.mark.parametrize(("limit", "verdict"), [(1, "(not calibrated)"), (None, "yes|no")])
def test_targets_judge_their_tasks(
    people: Path, toy_file: Path, tmp_path: Path, limit: int | None, verdict: str
) -> None:
    """A recogniser whose scale cannot be measured, since nobody has two photos, gives no verdict."""
    analyzer = ColourAnalyzer()
    stranger = NetworkRecogniser.from_file(make_arcface(tmp_path / "stranger.onnx", size=16))
    recognisers = [AnalyzersRecogniser(analyzer), stranger, NetworkRecogniser(Mean(), "mean", trained_against=True)]
    judges = Judges(Metrics.made(), Likeness(analyzer, recognisers))
    host = PlainHost("cpu", quiet=True)
    cases = CleanFolder(people, "x8", 96, limit=limit)
    tasks = SMALL_PORTRAITS[1:]
    materials = [Material("portraits", cases, tasks), faceless(people, tasks, None)]
    toy = str(toy_file)
    targets = Targets(materials, toy, toy, host, judges, cache=tmp_path / "kept", sheets=0, quiet=True, cost_side=None)
    (tmp_path / "out").mkdir()
    table, failures = targets.measure(tmp_path / "out")
    assert failures == []
    rows = [line.split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]
    assert [row[0].strip("| ") for row in rows] == [
        *("portraits: x8" for _ in range(8)),
        *("portraits: x4 mild" for _ in range(8)),
        *("people: x8", "people: x4 mild"),
    ]
    verdicts = {row[3]: row[-1].strip("| *") for row in rows if row[3].startswith("id")}
    assert set(verdicts) == {"identity", "id_colour", "id_stranger", "id_mean"}
    assert verdicts["id_mean"] == "(no judge)"  # trained against
    assert verdicts["id_stranger"] in verdict.split("|")
    assert verdicts["id_colour"] in verdict.split("|")
    assert verdicts["identity"] in verdict.split("|")
    assert (tmp_path / "out" / "targets.md").read_text() == table
    assert (tmp_path / "out" / "people-96-x8" / "results.json").exists()
    same = next(row for row in rows if row[3] == "psnr_y" and row[2] == "toy")
    assert same[5] == "+0.00 [+0.00, +0.00]"  # the model that it shall replace is the same


def test_targets_measure_both_ends_of_the_slider_and_the_model_that_is_replaced(
    people: Path, toy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[dict[str, str]] = []
    model = load_model(toy_file)

    def load(name: SystemName, host: PlainHost) -> HeadsUpModel:
        del host
        loaded.append(dict(name.loading))
        if name.loading.get("detail") == "1":
            raise InputError("has no such end")
        return model

    monkeypatch.setattr(SystemName, "load", load)
    today = tmp_path / "toy-before.safetensors"
    today.write_bytes(toy_file.read_bytes())
    asked = (
        Aim(FAITHFUL, (TODAY,), "psnr_y", -1.0, region="whole"),
        Aim(CRISP, (TODAY,), "psnr_y", -1.0, region="whole"),
        Aim(ANY, (BICUBIC,), "psnr_y", -100.0, region="whole"),
    )
    cases = CleanFolder(people, "x8", 96, limit=1)
    material = Material("portraits", cases, [Task("x8", "x8", asked)], people=False)
    host = PlainHost("cpu", quiet=True)
    targets = Targets(
        [material], str(toy_file), str(today), host, Judges(Metrics.made()), sheets=0, quiet=True, cost_side=None
    )
    (tmp_path / "out").mkdir()
    table, _ = targets.measure(tmp_path / "out")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:5]]
    assert [row[1:3] for row in rows] == [["toy@detail=0", "today"], ["toy@detail=1", "today"], ["toy", "bicubic"]]
    assert [row[5] for row in rows][1] == "not measured"
    assert rows[0][5].startswith("+0.00")  # the same weights
    assert {"detail": "0"} in loaded


def test_targets_need_somebody_to_judge(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--analyzer", "none", "--output", str(tmp_path / "out")]
    assert main(["benchmark", "targets", "headsup-tiny", "--portraits", str(people), *options]) == 2
    assert "--analyzer dlib" in capsys.readouterr().err
