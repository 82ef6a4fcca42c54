"""`upscale --report`: what the file holds; tests/browser looks at it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness.faces import face_at
from harness.people_stubs import ColourAnalyzer
from PIL import Image

from headsup_core.cli import main
from headsup_core.commands.upscaling import html_report
from headsup_core.commands.upscaling.batch import Job
from headsup_core.commands.upscaling.html_report import MOST_SHOWN, PICTURE_BYTES, SIDES, HtmlReport, shown_side
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel


class Reading(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture
def command(
    toy_model: OneStepModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """`upscale` of a picture and of a broken file; every picture has a face."""
    analyzer = ColourAnalyzer([face_at(24, 20, 14)])
    for module in ("identifying.analyzing", "upscaling.upscale"):
        monkeypatch.setattr(f"headsup_core.commands.{module}.make_analyzer", lambda *_: analyzer)
    save_headsup(tmp_path / "toy.safetensors", toy_model)
    (tmp_path / "in").mkdir()
    Image.effect_noise((48, 40), 60).convert("RGBA").save(tmp_path / "in" / "a<script>b.png")
    (tmp_path / "in" / "z&amp;.jpg").write_text("no picture")
    arguments = ["upscale", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--quiet"]
    return [*arguments, "--model", str(tmp_path / "toy.safetensors"), "--report", str(tmp_path / "new" / "r.html")]


def _page(folder: Path) -> Reading:
    return Reading((folder / "new" / "r.html").read_text(encoding="utf-8"))


def test_all_pictures_are_in_one_file_that_loads_nothing(command: list[str], tmp_path: Path) -> None:
    assert main(command) == 2

    page = _page(tmp_path)
    assert len(page.sources) == page.tags.count("img") == 4  # the picture and its face, before and after
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert "link" not in page.tags
    text = "\n".join(page.texts)
    assert "1 restored, 1 failed." in text
    assert f"1. {tmp_path}/in/a<script>b.png" in text
    assert f"{tmp_path}/in/z&amp;.jpg is not a picture" in text
    assert "face 0" in text


def test_report_changes_no_result_and_knows_those_of_earlier_runs(command: list[str], tmp_path: Path) -> None:
    main(command[:-2])
    result = tmp_path / "out" / "a<script>b.png"
    plain = result.read_bytes()

    assert main([*command, "--resume"]) == 2
    kept = _page(tmp_path)
    result.unlink()
    main(command)

    assert result.read_bytes() == plain
    assert "done by an earlier run" in "\n".join(kept.texts)
    assert kept.tags.count("img") == 4


def test_other_files_are_refused_before_work(command: list[str], tmp_path: Path) -> None:
    assert main([*command[:-1], str(tmp_path / "in" / "a<script>b.png")]) == 2
    assert not (tmp_path / "out").exists()


def test_interrupted_run_has_its_report(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headsup_core.commands.upscaling.upscale._restore_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert "no pictures. The run was broken off." in _page(tmp_path).texts


@pytest.mark.parametrize("pictures", [1, 10, 100, MOST_SHOWN, 10 * MOST_SHOWN])
def test_large_batches_are_shown_smaller(pictures: int) -> None:
    side = shown_side(pictures)
    assert SIDES[0] <= side <= SIDES[1]
    if side > SIDES[0]:
        assert 2 * min(pictures, MOST_SHOWN) * side**2 * html_report.BYTES_A_PIXEL <= PICTURE_BYTES
    assert side <= shown_side(max(1, pictures // 10))


def test_pictures_beyond_the_limit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_report, "MOST_SHOWN", 1)
    Image.effect_noise((9, 9), 60).convert("RGB").save(tmp_path / "a.png")
    job = Job(tmp_path / "a.png", tmp_path / "a.png")
    (tmp_path / "new").mkdir()
    with HtmlReport(tmp_path / "new" / "r.html", "many", 3, ColourAnalyzer().detect, "colour") as report:
        report.kept(job)
        report.kept(job)
    page = _page(tmp_path)
    assert page.tags.count("img") == 2
    assert page.tags.count("article") == 2
    assert "Only the first 1 pictures are shown." in page.texts
