"""The report of `upscale --report` in a real browser, without a network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import RED, ColourAnalyzer, paint
from PIL import Image
from playwright.sync_api import Browser, Page

from headsup_core.commands.upscaling.batch import Job
from headsup_core.commands.upscaling.html_report import HtmlReport
from headsup_core.image_files import write_picture
from headsup_core.restoring.options import RestoreOptions
from headsup_core.restoring.restore_report import RestoreReport

HOSTILE = "<script>document.title='run'</script> & \"onload='.png"
FACE = face_at(120, 90, 30)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The report of a black picture whose result is white, with a red face, and of one that failed."""
    source, target = tmp_path / "in" / HOSTILE.replace("/", "|"), tmp_path / "out" / "a.png"
    for path, value, side in ((source, 0.0, 240), (target, 1.0, 960)):
        path.parent.mkdir()
        write_picture(path, torch.full((1, 3, side, side), value))
    face = paint(torch.zeros(1, 3, 240, 240), FACE, RED)
    write_picture(source, face)
    analyzer = ColourAnalyzer([FACE])
    done = RestoreReport("toy", (240, 240), (960, 960), RestoreOptions(tile=960, color_fix="none"))
    score = {"before": 0.3, "uninjected": None, "injected": 0.9, "kept": 0.9, "after": 0.9, "outcome": "injected"}
    done.identity_scores = [{"picture": 0, "face": 0, "identity": "<b>Ada", "reason": "", **score}]
    with HtmlReport(tmp_path / "report.html", "Two & two", 2, analyzer.detect, "colour") as page:
        page.done(Job(source, target), done)
        page.failed(Job(tmp_path / "<img src=x>.jpg", tmp_path / "x.png"), "<img src=x>.jpg is not a picture")
    return tmp_path / "report.html"


@pytest.fixture
def opened(browser: Browser, report: Path, artifacts: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The report, opened from the disk; whatever it would load from elsewhere fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 1400}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.on("console", lambda message: asked.append(message.text))
    page.goto(report.as_uri())
    yield page
    page.screenshot(path=artifacts / f"{request.node.name}.png")
    context.close()
    assert [url[:200] for url in asked if url != report.as_uri() and not url.startswith("data:image/jpeg")] == []


def test_names_are_text_and_words_stand_beside_scores(opened: Page) -> None:
    assert opened.title() == "Two & two"
    assert opened.locator("script").count() == 1
    assert opened.locator("b, img[src=x]").count() == 0
    text = opened.locator("body").inner_text()
    assert "<script>document.title='run'<|script> & \"onload='.png" in text
    assert "1 restored, 1 failed." in text
    assert opened.locator("section.failed").inner_text().endswith("<img src=x>.jpg is not a picture")
    caption = opened.locator("figcaption").inner_text()
    assert caption.splitlines() == [
        "face 0, <b>Ada (at 68\xa0%)",
        "before: different people (0.30, 1 = two good photos)",
        "after: same person (0.90, 1 = two good photos)",
        "restored with the reference",
    ]


def test_line_between_before_and_after_moves_by_key_and_mouse(opened: Page) -> None:
    slider = opened.get_by_role("slider").first
    place: Any = opened.locator(".pair").first.bounding_box()

    opened.keyboard.press("Tab")
    assert slider.evaluate("element => element === document.activeElement")
    assert _colours(opened, place) == ("white", "white")
    for _ in range(10):
        opened.keyboard.press("ArrowRight")
    assert slider.input_value() == "60"
    assert _colours(opened, place) == ("black", "white")
    opened.keyboard.press("Home")
    assert _colours(opened, place) == ("white", "white")
    opened.mouse.click(place["x"] + place["width"] * 0.9, place["y"] + place["height"] / 2)
    assert 85 <= int(slider.input_value()) <= 95
    assert _colours(opened, place) == ("black", "black")


def _colours(page: Page, place: Any) -> tuple[str, str]:
    """What is seen at 55 % and at 80 % of the first picture's width, near its lower edge."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    height = place["y"] + place["height"] * 0.95
    values = [shot.getpixel((place["x"] + place["width"] * part, height)) for part in (0.55, 0.8)]
    left, right = ("white" if isinstance(value, int) and value > 128 else "black" for value in values)
    return left, right
