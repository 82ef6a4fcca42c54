"""The page's words for the nodes: what is made of the schemas is up to date, and Chinese ones are complete.

English ones are the schemas' own: the page falls back on them, so there is no English locale.

After a change of names or tooltips: scripts/generate_texts, then the Chinese entries that it names, by hand.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from harness.executor import Executor
from support.paths import ROOT
from support.texts import english_words, leaves, make_texts, our_nodes

pytestmark = pytest.mark.every_comfyui

CHINESE = ROOT / "locales" / "zh" / "nodeDefs.json"
HAN = re.compile(r"[\u4e00-\u9fff]")
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w.-])")
SAME_IN_CHINESE = {"SEGS"}
"""Names of another pack."""


def read_chinese() -> dict[str, Any]:
    return json.loads(CHINESE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def english(executor: Executor) -> dict[str, str]:
    return leaves(english_words(our_nodes(executor.object_info())))


@pytest.fixture(scope="module")
def chinese() -> dict[str, str]:
    return leaves(read_chinese())


def test_what_is_made_of_the_schemas_is_up_to_date(executor: Executor) -> None:
    """The lists of the help pages, by each supported ComfyUI; nothing is missing in Chinese."""
    infos = our_nodes(executor.object_info())
    texts = make_texts(infos, ROOT)

    assert len(infos) >= 17
    assert [str(path) for path in texts.differing(ROOT)] == []
    assert texts.todo == []


def test_there_is_no_other_file_to_keep_up_to_date() -> None:
    assert [path for path in (ROOT / "locales").rglob("*") if path.is_file()] == [CHINESE]


def test_chinese_is_complete(english: dict[str, str], chinese: dict[str, str]) -> None:
    assert sorted(chinese) == sorted(english)
    assert [path for path, text in chinese.items() if not HAN.search(text) and text not in SAME_IN_CHINESE] == []
    copied = [path for path, text in chinese.items() if text == english[path] and text not in SAME_IN_CHINESE]
    assert copied == []


def test_chinese_names_tell_the_inputs_of_a_node_apart() -> None:
    for name, node in read_chinese().items():
        for side in ("inputs", "outputs"):
            names = [words["name"] for words in node[side].values()]
            assert len(set(names)) == len(names), (name, names)


def test_chinese_tooltips_have_the_numbers_of_the_english(english: dict[str, str], chinese: dict[str, str]) -> None:
    """Defaults, ranges and thresholds are the same."""
    wrong = {
        path: (set(NUMBER.findall(text)) - set(re.findall(r"-?\d+(?:\.\d+)?", chinese[path])), chinese[path])
        for path, text in english.items()
        if set(NUMBER.findall(text)) - set(re.findall(r"-?\d+(?:\.\d+)?", chinese[path]))
    }
    assert wrong == {}


def test_no_word_is_taken_for_a_placeholder(chinese: dict[str, str]) -> None:
    """The page reads {x}, @:x and a | b in messages as instructions."""
    assert [path for path, text in chinese.items() if re.search(r"[{}@|]", text)] == []
