"""Every input and output is explained, in its tooltip and on the node's help pages, and found by search words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor
from PIL import Image
from support.comfyui import OLDEST
from support.help_lists import inputs_of
from support.texts import CHINESE, our_nodes, page_path

pytestmark = pytest.mark.every_comfyui

LANGUAGES = ("en", "zh")
HEADINGS = {"en": ("## What goes wrong",), "zh": ("## 常见问题",)}
PICTURE = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<path>[^)]+)\)")
MOST_BYTES = 80_000
MOST_WIDE = 420  # the panel is some 300 px wide


@pytest.fixture
def infos(executor: Executor) -> dict[str, Any]:
    """Schemas of our nodes."""
    found = our_nodes(executor.object_info())
    assert len(found) >= 17
    return found


def test_every_input_and_output_has_a_tooltip(infos: dict[str, Any]) -> None:
    missing: list[str] = []
    for name, info in infos.items():
        missing += [f"{name}: {key}" for key, spec in inputs_of(info).items() if not spec[1].get("tooltip")]
        tooltips = zip(info["output_name"], info["output_tooltips"], strict=True)
        missing += [f"{name}: output {key}" for key, tooltip in tooltips if not tooltip]
        if not info["description"]:
            missing.append(f"{name}: description")

    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_has_mistakes_and_a_picture(infos: dict[str, Any], root: Path, language: str) -> None:
    """The picture lies where the page looks for it, below web/docs, is described, and is small."""
    docs = root / "web" / "docs"
    chinese = json.loads((root / CHINESE).read_text(encoding="utf-8"))
    for name, info in infos.items():
        text = (root / page_path(name, language)).read_text(encoding="utf-8")
        title = info["display_name"] if language == "en" else chinese[name]["display_name"]
        assert text.startswith(f"# {title}\n"), name
        assert all(heading in text for heading in HEADINGS[language]), name
        pictures = list(PICTURE.finditer(text))
        assert pictures, name
        for picture in pictures:
            file = docs / picture["path"]
            assert len(picture["words"]) > 5, name
            assert file.stat().st_size <= MOST_BYTES, file
            with Image.open(file) as image:
                assert 200 <= image.width <= MOST_WIDE, file


def test_every_picture_is_on_a_page(root: Path) -> None:
    docs = root / "web" / "docs"
    used = {match["path"] for page in docs.rglob("*.md") for match in PICTURE.finditer(page.read_text("utf-8"))}

    assert used == {f"images/{file.name}" for file in (docs / "images").iterdir()}


def test_search_words_where_the_version_knows_them(executor: Executor, infos: dict[str, Any]) -> None:
    """Each node is found in English and in Chinese, and by the pack's name; the oldest ComfyUI loads without."""
    for name, info in infos.items():
        words = info.get("search_aliases")
        if executor.version == OLDEST:
            assert words is None, name
            continue
        assert "headsup" in words, name
        assert len(set(words)) == len(words) >= 4, name
        assert any(re.search(r"[\u4e00-\u9fff]", word) for word in words), name
