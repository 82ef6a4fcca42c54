"""The page's words for the nodes: English ones are those of the code, Chinese ones are complete.

After a change of names or tooltips: scripts/test comfyui -k english --update-snapshot, then locales/zh by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor
from support.paths import ROOT

LOCALES = ROOT / "locales"
HAN = re.compile(r"[\u4e00-\u9fff]")
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w.-])")
SAME_IN_CHINESE = {"SEGS"}
"""Names of another pack."""


def node_defs(infos: dict[str, Any]) -> dict[str, Any]:
    """What `nodeDefs.json` says of the nodes."""
    return {name: node_def(info) for name, info in infos.items() if info["category"].startswith("HeadsUp")}


def node_def(info: dict[str, Any]) -> dict[str, Any]:
    """Names and tooltips of one node."""
    inputs = {
        name: {"name": name, "tooltip": spec[1]["tooltip"]}
        for section in ("required", "optional")
        for name, spec in info["input"].get(section, {}).items()
    }
    outputs = {
        str(index): {"name": name, "tooltip": tooltip}
        for index, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": inputs,
        "outputs": outputs,
    }


def leaves(tree: Any, path: str = "") -> dict[str, str]:
    """Path -> text."""
    if isinstance(tree, str):
        return {path: tree}
    return {key: text for name, part in tree.items() for key, text in leaves(part, f"{path}/{name}").items()}


def read(language: str) -> Any:
    """The words of a language."""
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def english() -> dict[str, str]:
    return leaves(read("en"))


@pytest.fixture(scope="module")
def chinese() -> dict[str, str]:
    return leaves(read("zh"))


def test_english_is_what_the_nodes_say(executor: Executor, request: pytest.FixtureRequest) -> None:
    declared = node_defs(executor.object_info())
    file: Path = LOCALES / "en" / "nodeDefs.json"
    if request.config.getoption("--update-snapshot"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(declared, indent=2) + "\n")

    assert len(declared) >= 17
    assert read("en") == declared


def test_chinese_is_complete(english: dict[str, str], chinese: dict[str, str]) -> None:
    assert sorted(chinese) == sorted(english)
    assert [path for path, text in chinese.items() if not HAN.search(text) and text not in SAME_IN_CHINESE] == []
    copied = [path for path, text in chinese.items() if text == english[path] and text not in SAME_IN_CHINESE]
    assert copied == []


def test_chinese_names_tell_the_inputs_of_a_node_apart() -> None:
    for name, node in read("zh").items():
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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_word_is_taken_for_a_placeholder(language: str) -> None:
    """The page reads {x}, @:x and a | b in messages as instructions."""
    assert [path for path, text in leaves(read(language)).items() if re.search(r"[{}@|]", text)] == []
