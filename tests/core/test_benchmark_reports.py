"""What a benchmark writes: tables, slices, contact sheets, kept results; and how its metrics are registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.benchmark.comparing.cases import PairFolders
from headsup_core.benchmark.comparing.evaluate import Outcome, Record, Sheet
from headsup_core.benchmark.comparing.peers import Bicubic
from headsup_core.benchmark.comparing.remembered import Remembered
from headsup_core.benchmark.comparing.system_names import SystemName, without_reference
from headsup_core.benchmark.figures import style
from headsup_core.benchmark.metrics.all_metrics import METRICS, Metrics
from headsup_core.benchmark.metrics.metric import Metric, Style
from headsup_core.benchmark.reporting.contact_sheets import LABEL_HEIGHT, stacked
from headsup_core.benchmark.reporting.slices import Slices, slices_table
from headsup_core.benchmark.reporting.tables import make_table
from headsup_core.cli import build_parser
from headsup_core.errors import InputError, ModelFileError
from headsup_core.identity.identity import Identity
from headsup_core.image_files import write_picture


def _record(case: str, system: str, whole: dict[str, float], face: dict[str, float], seconds: float = 1.0) -> Record:
    return Record(case, case.split("_")[0], system, seconds, whole, face)


def _cells(table: str, begin: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(begin)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_says_means_differences_and_what_failed() -> None:
    face = {"psnr_y": 20.0, "id_dlib": 0.5, "cos_dlib": 0.9, "deg_dlib": 25.84}
    records = [
        _record("ada_1", "bicubic", {"psnr_y": 30.0}, face, 1.0),
        _record("bob_1", "bicubic", {"psnr_y": 32.0}, {}, 3.0),
        _record("ada_1", "ours", {"psnr_y": 31.5}, {**face, "psnr_y": 21.0}, 2.0),
        _record("bob_1", "ours", {"psnr_y": 33.5}, {}, 2.0),
    ]
    outcome = Outcome(records, failures=["cyd_1, ours: broken"], notes=["a note"], fid={"ours": 12.345})
    table = make_table("title", outcome, "bicubic")
    whole, rest = table.split("face region")[0], table.split("face region", 1)[1]
    assert _cells(whole, "| bicubic") == ["bicubic", "31.00 [30.00, 32.00]", "2.00"]
    differences = whole.split("minus bicubic")[1]
    assert "| ours | +1.50 [+1.50, +1.50] |" in differences
    assert "| system | psnr_y (+) | id_dlib (+) | seconds |" in rest
    assert "| system | cos_dlib (+) | deg_dlib (-) | seconds |" in rest
    assert "0.900 [0.900, 0.900] | 25.8 [25.8, 25.8]" in rest
    assert "1 pictures of 1 people" in table
    assert "No face was found in 1 clean pictures: bob_1" in table
    assert "n = 2" in table
    assert "| ours | 12.35 |" in table or "| ours | 12.34 |" in table
    assert "* a note" in table
    assert "* cyd_1, ours: broken" in table


def test_slices_group_people_by_words_and_by_thirds(tmp_path: Path) -> None:
    said = tmp_path / "people.csv"
    rows = [f"p{number},{20 + number},{'yes' if number % 2 else 'no'}" for number in range(9)]
    said.write_text("\n".join(["person,age,glasses", *rows, "stranger,99,yes"]))
    records = [_record(f"p{number}_1", "ours", {}, {"psnr_y": float(number)}) for number in range(10)]
    slices = Slices.from_file(said)
    assert {name: len(own) for name, own in slices.groups("age", records).items()} == {
        "up to 22.6667": 3,
        "above 22.6667 up to 25.3333": 3,
        "above 25.3333": 3,
    }
    table = slices_table(records, slices)
    assert "| no | 5 | ours | 4.00 [" in table  # 0 2 4 6 8; nothing is said of p9
    assert "| yes | 4 | ours | 4.00 [" in table  # 1 3 5 7
    (tmp_path / "one.csv").write_text("person\np1\n")
    for wrong in ("one.csv", "none.csv"):
        with raises_naming(InputError, wrong):
            Slices.from_file(tmp_path / wrong)


def test_a_slice_may_be_said_of_a_picture(tmp_path: Path) -> None:
    said = tmp_path / "pictures.csv"
    said.write_text("picture,when\nada_old,before\nada_new,after\n")
    records = [_record(f"ada_{when}", "ours", {"psnr_y": value}, {}) for when, value in (("old", 1.0), ("new", 3.0))]
    table = slices_table(records, Slices.from_file(said))
    assert "| before | 1 | ours | 1.00" in table
    assert "| after | 1 | ours | 3.00" in table


def test_sheets_show_pixels_as_they_are() -> None:
    """The face first in `face()`, whole pictures in `pictures`; words above, nothing resized but by the factor."""
    picture = torch.arange(3 * 8 * 10, dtype=torch.uint8).view(3, 8, 10)
    sheet = Sheet([("given", picture), ("truth", picture.flip(2))], (slice(2, 6), slice(1, 4)))
    shown = stacked([sheet.face(), sheet.pictures])
    assert shown.size == (20, 4 + 8 + 2 * LABEL_HEIGHT)
    assert shown.getpixel((3, LABEL_HEIGHT)) == tuple(picture.flip(2)[:, 2, 1].tolist())
    enlarged = stacked([sheet.face()], 3)
    assert enlarged.size == (18, 12 + LABEL_HEIGHT)
    assert enlarged.getpixel((2, LABEL_HEIGHT + 2)) == tuple(picture[:, 2, 1].tolist())


class Counting(Bicubic):
    """Counts how often it is asked."""

    asked = 0

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        Counting.asked += 1
        return super().upscale(image, height, width, people)


def test_a_peer_restores_a_picture_once(tmp_path: Path) -> None:
    system = Remembered(Counting(), tmp_path / "kept")
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, again = system.upscale(image, 32, 32), system.upscale(image, 32, 32)
    assert torch.equal(first, again)
    assert (first - Bicubic().upscale(image, 32, 32).clamp(0, 1)).abs().max() <= 0.51 / 255
    assert Counting.asked == 1
    system.upscale(image, 24, 24)
    system.upscale(image + 0.01, 32, 32)
    assert Counting.asked == 3
    assert (system.name, system.file) == ("bicubic", None)


@pytest.mark.parametrize(
    ("text", "source", "loading", "restoring", "told", "label"),
    [
        ("headsup-tiny", "headsup-tiny", {}, {}, "", "headsup-tiny"),
        ("a/b.pt@detail=0.5", "a/b.pt", {"detail": "0.5"}, {}, "", "b@detail=0.5"),
        ("b.pt:tile=64@detail=1+reference", "b.pt", {"detail": "1"}, {"tile": "64"}, "reference", None),
        ("C:\\x.pt@base=D:\\sd:color_fix=lab", "C:\\x.pt", {"base": "D:\\sd"}, {"color_fix": "lab"}, "", None),
        ("a+b.pt+stranger", "a+b.pt", {}, {}, "stranger", "a+b+stranger"),
        ("a.pt:tile=64+assigned=0.5", "a.pt", {}, {"tile": "64"}, "assigned", "a:tile=64+assigned=0.5"),
    ],
)
def test_names_of_systems(
    text: str, source: str, loading: dict[str, str], restoring: dict[str, str], told: str, label: str | None
) -> None:
    name = SystemName.parse(text)
    assert (name.source, name.loading, name.restoring, name.told) == (source, loading, restoring, told)
    assert label is None or name.label == label


@pytest.mark.parametrize(
    "line",
    [
        "restore PICTURES --comfyui DIR",
        "sheets PICTURES --niqe FILE",
        "targets MODEL --peer bicubic",
        "faces PICTURES --systems bicubic",
        "performance MODEL --recogniser FILE",
        "performance MODEL targets MODEL",
        "costs MODEL PICTURES",
    ],
)
def test_a_subcommand_takes_its_own_options_and_no_second_mode(line: str) -> None:
    with pytest.raises(SystemExit) as raised:
        build_parser().parse_args(["benchmark", *line.split(), "--output", "DIR"])
    assert raised.value.code == 2


def test_files_of_metrics_are_options_of_whoever_measures() -> None:
    for line in ("restore PICTURES", "targets MODEL", "idfsr MODEL PICTURES"):
        for metric in METRICS:
            if metric.file is not None:
                told = ["benchmark", *line.split(), "--output", "DIR", metric.file.flag, "FILE"]
                assert Path("FILE") in vars(build_parser().parse_args(told)).values()


def test_how_much_of_a_photo_counts_is_said_behind_it() -> None:
    assert SystemName.parse("a.pt+reference=0.25").strength == 0.25
    assert SystemName.parse("a.pt+reference").strength is None
    assert without_reference("a.pt:tile=64+stranger=0.5") == "a.pt:tile=64"
    for wrong in ("half", "1.5", "nan"):
        with raises_naming(InputError, wrong):
            SystemName.parse(f"a.pt+reference={wrong}")


def test_options_of_restoring_are_checked() -> None:
    assert SystemName.parse("m:tile=64:strength=0.5").options() == {"tile": 64, "strength": 0.5}
    with raises_naming(InputError, "half"):
        SystemName.parse("m:strength=half").options()
    with raises_naming(InputError, "base=BASE"):
        SystemName.parse("m:base=sd21")


def test_photos_beside_pairs(tmp_path: Path) -> None:
    for folder in ("bad", "truth", "photos"):
        (tmp_path / folder).mkdir()
        for person in ("ada_1", "bob_1"):
            write_picture(tmp_path / folder / f"{person}.png", torch.rand(1, 3, 20, 20), None)
    cases = PairFolders(tmp_path / "bad", tmp_path / "truth", tmp_path / "photos")
    ada = cases.files()[0]
    assert cases.reference_of(ada) == tmp_path / "photos" / "ada_1.png"
    assert cases.stranger_of(ada) == tmp_path / "photos" / "bob_1.png"
    (tmp_path / "photos" / "ada_1.png").unlink()
    with raises_naming(InputError, tmp_path / "photos"):
        cases.reference_of(ada)


def test_a_metric_is_one_record() -> None:
    """What a new one needs: a name, a style and a function."""
    mean = Metric("mean", Style("+"), lambda file: lambda result, truth: float((result - truth).mean()))
    metrics = Metrics.made(metrics=(mean,))
    assert metrics.measure(torch.full((1, 3, 4, 4), 0.6), torch.full((1, 3, 4, 4), 0.2)) == {
        "mean": pytest.approx(0.4)
    }


def test_equal_pictures_have_the_best_figures(backbone: Path) -> None:
    metrics = Metrics.made({"lpips": backbone})
    truth = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    truth = (truth * 255).round() / 255
    best, worse = metrics.measure(truth, truth), metrics.measure(truth.roll(3, -1), truth)
    assert {"psnr_y", "ssim_y", "gmsd", "lpips"} <= set(best)
    for name in best:
        assert best[name] > worse[name] if style(name).better == "+" else best[name] < worse[name]
    assert any(line.startswith("niqe ") and "--niqe" in line for line in metrics.left_out)


def test_wrong_files_of_metrics_are_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.npz").write_text("")
    for name in ("lpips", "niqe"):
        with raises_naming(ModelFileError, "absent"):
            Metrics.made({name: tmp_path / "absent"})
    with raises_naming(ModelFileError, "wrong"):
        Metrics.made({"niqe": tmp_path / "wrong.npz"})


def test_the_papers_metrics_come_through_the_users_pyiqa(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def create_metric(name: str, device: str) -> object:
        made.append(f"{name} {device}")
        return lambda image: image.mean() * 100

    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=create_metric))
    assert "musiq" not in Metrics.made().measures
    assert made == []
    figures = Metrics.made(also=["musiq"]).measure(torch.full((1, 3, 32, 32), 0.2), torch.zeros(1, 3, 32, 32))
    assert figures["musiq"] == pytest.approx(20)
    assert made == ["musiq cpu"]
    assert all(metric.only_when_named for metric in METRICS if metric.name in ("musiq", "clipiqa", "maniqa"))
