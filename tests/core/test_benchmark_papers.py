"""The benchmark as papers have it: an index's pictures, papers' columns, metrics that are found; a rehearsal."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.training import CONFIGS, LANDMARKS
from PIL import Image

from headsup_core.benchmark.comparing.evaluate import Outcome, Record
from headsup_core.benchmark.comparing.indexed_cases import IndexedCases
from headsup_core.benchmark.measuring.stopwatch import Stopwatch
from headsup_core.benchmark.measuring.training_rehearsal import BACKWARD, COMPANIONS, FORWARD, rehearse
from headsup_core.benchmark.metrics.all_metrics import METRICS, found_metrics
from headsup_core.benchmark.reporting.paper_tables import paper_table
from headsup_core.errors import InputError
from headsup_core.faces.face import Face
from headsup_core.training.data.face_index import FaceIndex, IndexedPicture, write_index
from headsup_core.training.data.index_table import INDEX_SUFFIXES, TABLE_SUFFIX, write_table

CPU = torch.device("cpu")


@pytest.fixture(params=INDEX_SUFFIXES)
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three people: a in pictures 0 to 2, b in 3 and 4, c in 5; 4 shows a small face of a, too."""
    big, small = (Face((0, 0, 1, 1), LANDMARKS * factor, 0.9) for factor in (1.0, 0.3))
    pictures: list[IndexedPicture] = []
    for number in range(6):
        folder = tmp_path / "photos" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((128, 128, 3), 40 * number, np.uint8)).save(folder / f"IMG{number // 2}.png")
        faces = (small, big) if number == 4 else (big,)
        pictures.append(IndexedPicture(folder / f"IMG{number // 2}.png", 128, 128, faces))
    pairs = ((0, 0, 1, 0, 0.9), (0, 0, 2, 0, 0.7), (1, 0, 2, 0, 0.8), (2, 0, 4, 0, 0.95), (3, 0, 4, 1, 0.75))
    path = (tmp_path / "index").with_suffix(request.param)
    write = write_table if request.param == TABLE_SUFFIX else write_index
    write(path, FaceIndex(tuple(pictures), pairs, "e", 0.65, "cosine"))
    return path


def numbers(cases: IndexedCases, paths: list[Path]) -> list[int]:
    order = [f"{number % 2}/IMG{number // 2}.png" for number in range(6)]
    return [order.index(f"{path.parent.name}/{path.name}") for path in paths]


def test_references_are_the_most_similar_photos(index: Path) -> None:
    cases = IndexedCases(index, "x8", 128, pairs=True)
    files = cases.files()
    assert numbers(cases, files) == [0, 1, 2, 3, 4]  # c has no other photo
    references = [path for each in files if (path := cases.reference_of(each))]
    assert numbers(cases, references) == [1, 0, 4, 4, 3]  # of 2 the small face in 4; of 4 its large face counts
    people = [cases.person_of(each) for each in files]
    assert people[0] == people[1] == people[2] != people[3] == people[4]
    strangers = [cases.stranger_of(each) for each in files]
    others = [None if one is None else cases.person_of(one) for one in strangers]
    assert all(other not in (None, person) for other, person in zip(others, people, strict=True))
    assert numbers(cases, IndexedCases(index, "x8", 128, pairs=True, one_each=True).files()) == [0, 3]
    case = cases.load(files[3])
    assert (case.person, case.truth.shape, case.bad.shape) == (people[3], (1, 3, 128, 128), (1, 3, 16, 16))
    assert cases.load(files[0]).name != cases.load(files[1]).name  # both are called IMG0.png


def test_held_out_are_those_whom_training_never_sees(index: Path) -> None:
    everybody = IndexedCases(index, "x8", 128)
    assert numbers(everybody, everybody.files()) == [0, 1, 2, 3, 4, 5]
    # every 2nd person: a and c; 4 shows a, so that training leaves it out, but b is seen in 3
    held = IndexedCases(index, "x8", 128, hold_out=2)
    assert numbers(held, held.files()) == [0, 1, 2, 5]
    with pytest.raises(InputError):
        IndexedCases(index, "x8", 32)


def test_a_row_in_papers_columns() -> None:
    faces = [{"cos_net": 0.5, "deg_net": 60.0, "lmd": 2.5}, {"cos_net": 0.7, "deg_net": 30.0}]
    wholes = [{"psnr_y": 20.0, "ssim_y": 0.5, "lpips": 0.3}, {"psnr_y": 21.0, "ssim_y": 0.6, "lpips": 0.2}]
    records = [Record(str(i), "p", "mine", 1.0, wholes[i], faces[i]) for i in range(2)]
    records += [Record(str(i), "p", "theirs", 1.0, wholes[i], {}) for i in range(2)]
    table = paper_table("title", Outcome(records, fid={"mine": 12.345}))
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines]
    heads = [head.rstrip(" ↑↓") for head in rows[0]]
    assert heads == ["method", "PSNR", "SSIM", "LPIPS", "FID", "ID", "IDA", "Deg.", "LMD"]
    mine = dict(zip(heads, rows[2], strict=True))
    assert mine == {
        "method": "mine", "PSNR": "20.50", "SSIM": "0.5500", "LPIPS": "0.2500", "FID": "12.35", "ID": "0.6000",
        "IDA": f"{math.radians(45):.3f}", "Deg.": "45.00", "LMD": "2.500",
    }  # fmt: skip
    assert rows[3][4:] == [""] * 5  # FID and faces of theirs were not measured
    assert "LPIPS: lpips" in table.splitlines()[-1]
    assert paper_table("nothing", Outcome()) == ""


def test_a_metric_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "found_here"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mean_error.py").write_text(
        "from headsup_core.benchmark.metrics.metric import Metric, Style\n"
        "MEAN_ERROR = Metric('mae', Style('-', 2), lambda file: lambda a, b: float((a - b).abs().mean()))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = found_metrics(str(package), "found_here")
    assert found.name == "mae"
    assert found.make(None)(torch.ones(1), torch.zeros(1)) == 1
    assert found_metrics(str(package), "found_here", [found]) == ()
    sys.modules.pop("found_here.mean_error")
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) > 10


def test_a_stopwatch_gives_inner_time_to_inner_parts() -> None:
    watch = Stopwatch(CPU)
    layer = torch.nn.Linear(2, 2)
    watch.watch(layer, "layer")
    with watch.running():
        watch.turn_to("outer")
        layer(torch.zeros(1, 2))
        with watch.part("inner"):
            torch.zeros(2_000_000).fill_(1)
        watch.turn_to("after")
    assert {name: part.runs for name, part in watch.parts.items()} == {
        "outer": 1, "outer: layer": 1, "inner": 1, "after": 1,
    }  # fmt: skip
    assert all(part.seconds >= 0 and part.peak > 0 for part in watch.parts.values())


def test_a_training_is_rehearsed() -> None:
    """The shipped configuration with all its losses, at a quarter of the width and a small crop."""
    overrides = {"crop": 64, "face_side": 64, "lpips_net": "squeeze", "critic_width": 4}
    done = rehearse(CONFIGS / "headsup-sd21-stage1.yaml", 1, CPU, overrides, quarter=True)
    terms = {"l2", "lpips", "face", "identity", "adversarial", "distillation", "distillation_own", "adversarial_own"}
    assert set(done.losses) == terms
    assert all(math.isfinite(value) for value in done.losses.values())
    parts = done.parts
    # one call to restore, three for the distillation; one more for its copy
    assert parts[f"{FORWARD}: UNet"].runs == 4
    assert parts[f"{COMPANIONS}: UNet"].runs == 1
    assert parts[BACKWARD].seconds > 0
    assert done.peak >= max(part.peak for part in parts.values())
    assert f"{FORWARD}: UNet" in done.table()
    with pytest.raises(InputError):
        rehearse(CONFIGS / "headsup-tiny.yaml", 1, CPU)
