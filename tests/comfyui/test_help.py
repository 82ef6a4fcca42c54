"""Every input and output is explained, in its tooltip and on the node's help pages, and found by search words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor
from PIL import Image
from support.comfyui import OLDEST

LANGUAGES = ("en", "zh")
FILES = {"model", "adapter", "base", "identity", "pack"}
"""Combos that list the user's files: a page cannot name them."""
LISTS = {"en": ("Inputs", "Outputs"), "zh": ("输入", "输出")}
HEADINGS = {"en": ("## What goes wrong",), "zh": ("## 常见问题",)}
WORDS = {
    "en": {"on": "on", "off": "off", "empty": "empty"},
    "zh": {"on": "开启", "off": "关闭", "empty": "空"},
}
ROW = re.compile(
    r"^- \*\*(?P<name>.+?)\*\*(?: `(?P<id>\w+)`)?"
    r"(?:(?: \(default |\uff08默认 )`(?P<default>.+?)`[)\uff09])?[:\uff1a] ?(?P<text>.+)$"
)
"""Of a list: tables are cut off in the narrow panel where the page shows help."""
PICTURE = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<path>[^)]+)\)")
MOST_BYTES = 80_000
MOST_WIDE = 420  # the panel is some 300 px wide


@pytest.fixture
def infos(executor: Executor) -> dict[str, Any]:
    """Schemas of our nodes."""
    found = {name: info for name, info in executor.object_info().items() if info["category"].startswith("HeadsUp")}
    assert len(found) >= 17
    return found


def inputs_of(info: dict[str, Any]) -> dict[str, Any]:
    """Name -> specification, without hidden ones."""
    sections = (info["input"].get(section, {}) for section in ("required", "optional"))
    return {key: spec for section in sections for key, spec in section.items()}


def page_of(root: Path, name: str, language: str) -> Path:
    """The page, where ComfyUI's page looks for it."""
    docs = root / "web" / "docs"
    return docs / f"{name}.md" if language == "en" else docs / name / f"{language}.md"


@dataclass(frozen=True)
class Entry:
    """A line of a page's lists: what is said of an input or output."""

    name: str
    id: str
    default: str
    text: str


def entries_of(text: str, language: str) -> list[Entry]:
    """Those of the lists of inputs and outputs, in their order."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    wanted = [section for section in sections if section.splitlines()[0] in LISTS[language]]
    matches = [ROW.match(line) for section in wanted for line in section.splitlines()[1:] if line]
    return [Entry(m["name"], m["id"] or "", m["default"] or "", m["text"]) for m in matches if m]


def written(default: Any, words: dict[str, str]) -> str:
    """A default as the pages write it."""
    if isinstance(default, bool):
        return words["on"] if default else words["off"]
    if isinstance(default, float):
        return f"{default:g}"
    return words["empty"] if default == "" else "" if default is None else str(default)


def numbers(text: str) -> set[float]:
    """All numbers of a text."""
    return {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text)}


def shown(key: str, spec: Any) -> Any:
    """A specification without the user's files."""
    if key not in FILES:
        return spec
    return ["COMBO", {name: value for name, value in spec[1].items() if name != "options"}]


def unexplained(spec: Any, entry: Entry, words: dict[str, str]) -> list[str]:
    """What the entry of an input leaves out or gets wrong."""
    kind, options = spec[0], spec[1]
    default = written(options.get("default"), words)
    wrong = [] if entry.default == default else [f"default {default!r}, page {entry.default!r}"]
    text = f"{entry.default} {entry.text}"
    bounds = {float(options[key]) for key in ("min", "max") if key in options}
    wrong += [f"bound {bound:g}" for bound in bounds - numbers(text)]
    choices = options.get("options", kind if isinstance(kind, list) else [])
    return wrong + [f"choice {choice}" for choice in choices if str(choice) not in text]


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
def test_page_explains_every_input_and_output(infos: dict[str, Any], root: Path, language: str) -> None:
    """Its lists have all of them in the node's order, with default, range and choices."""
    local = json.loads((root / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    wrong: list[str] = []
    for name, info in infos.items():
        entries = entries_of(page_of(root, name, language).read_text(encoding="utf-8"), language)
        inputs = inputs_of(info)
        names = [local[name]["inputs"][key]["name"] for key in inputs]
        names += [output["name"] for output in local[name]["outputs"].values()]
        listed = [entry.name for entry in entries]
        if listed != names:
            wrong.append(f"{name}: lists {listed}, has {names}")
            continue
        for (key, spec), entry in zip(inputs.items(), entries, strict=False):
            if language != "en" and entry.id != key:
                wrong.append(f"{name}: {key} is called {entry.id!r}")
            wrong += [f"{name}: {key}: {problem}" for problem in unexplained(shown(key, spec), entry, WORDS[language])]

    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_has_mistakes_and_a_picture(infos: dict[str, Any], root: Path, language: str) -> None:
    """The picture lies where the page looks for it, below web/docs, is described, and is small."""
    docs = root / "web" / "docs"
    for name, info in infos.items():
        text = page_of(root, name, language).read_text(encoding="utf-8")
        local = json.loads((root / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))[name]
        assert text.startswith(f"# {local['display_name']}\n"), name
        assert all(heading in text for heading in HEADINGS[language]), name
        pictures = list(PICTURE.finditer(text))
        assert pictures, name
        for picture in pictures:
            file = docs / picture["path"]
            assert len(picture["words"]) > 5, name
            assert file.stat().st_size <= MOST_BYTES, file
            with Image.open(file) as image:
                assert 200 <= image.width <= MOST_WIDE, file
        assert info["display_name"]


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
