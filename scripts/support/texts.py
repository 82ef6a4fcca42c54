"""The words of the nodes: what is made of the schemas, and what is wrong with what is written by hand.

An input is worded once, in its tooltip, and ComfyUI's page takes the English from there: there is no English locale.
Made of the schemas are the lists of inputs and outputs on the help pages (`web/docs/<node>.md`, and
`web/docs/<node>/zh.md` with the words of the Chinese locale). Written by hand are the Chinese locale and the prose of
the help pages around the lists.

Beside each Chinese entry stands `_translated`: the checksum of the English text that it was translated from, and its
own, so that a change of the English is not forgotten in Chinese. The page does not read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .help_lists import PAGES, Info, Words, inputs_of, page_text
from .workflow import input_spec

CATEGORY = "HeadsUp"
CHINESE = Path("locales/zh/nodeDefs.json")
TRANSLATED = "_translated"
"""Key of the checksums: `name 2c224021 b82bd426, tooltip 90ab2d45 850681df`, the English's and the entry's own."""



@dataclass
class Texts:
    """What the repository should hold, and what a person has to write.

    Attributes:
        files: path below the repository -> content.
        todo: sentences that name what is missing, stale or left over.
    """

    files: dict[Path, str] = field(default_factory=dict)
    todo: list[str] = field(default_factory=list)

    def differing(self, root: Path) -> list[Path]:
        """The files whose content on disk is another one."""
        return [path for path, text in self.files.items() if _read(root / path) != text]


def our_nodes(infos: Info) -> dict[str, Info]:
    """The schemas of this pack's nodes among all of a ComfyUI."""
    return {name: info for name, info in infos.items() if info["category"].startswith(CATEGORY)}


def english_words(infos: Info) -> dict[str, Words]:
    """Each node's names and tooltips as its schema has them, in the shape of a locale's `nodeDefs.json`."""
    return {name: _english_words(info) for name, info in infos.items()}


def _english_words(info: Info) -> Words:
    options = {name: input_spec(spec)[1] for name, spec in inputs_of(info).items()}
    inputs = {
        name: {"name": known.get("display_name") or name, "tooltip": known.get("tooltip", "")}
        for name, known in options.items()
    }
    outputs = {
        str(index): {"name": name, "tooltip": tooltip or ""}
        for index, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": inputs,
        "outputs": outputs,
    }


def make_texts(infos: Info, root: Path, kept: frozenset[str] = frozenset()) -> Texts:
    """All that is made of the schemas `infos`, with what is written by hand below `root`.

    Args:
        infos: node id -> schema as ComfyUI's `/object_info` gives it.
        root: the repository; nothing is written.
        kept: paths of Chinese entries (`HeadsUpUpscale/inputs/scale/tooltip`) that are right although the English
            changed.
    """
    ours = our_nodes(infos)
    english = english_words(ours)
    texts = Texts()
    chinese = _checked_chinese(english, root, kept, texts)
    for name, info in ours.items():
        for code, words in (("en", english[name]), ("zh", chinese[name])):
            path = page_path(name, code)
            texts.files[path] = page_text(_read(root / path), info, words, PAGES[code])
    return texts


def page_path(node: str, code: str) -> Path:
    """Where ComfyUI's page looks for a node's help."""
    docs = Path("web/docs")
    return docs / f"{node}.md" if code == "en" else docs / node / f"{code}.md"


def leaves(tree: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - JSON
    """Each text of a locale by its path: `HeadsUpUpscale/inputs/scale/tooltip`; no checksums."""
    if isinstance(tree, str):
        return {path.removeprefix("/"): tree}
    parts = ((name, part) for name, part in tree.items() if name != TRANSLATED)
    return {key: text for name, part in parts for key, text in leaves(part, f"{path}/{name}").items()}


def checksums(tree: Any, path: str = "") -> dict[str, str]:  # noqa: ANN401 - JSON
    """The checksums beside each text of a locale, by the text's path: `2c224021 b82bd426`."""
    found: dict[str, str] = {}
    for name, part in tree.items():
        if name == TRANSLATED:
            for each in part.split(", "):
                key, _, sums = each.partition(" ")
                found[f"{path}/{key}".removeprefix("/")] = sums
        elif not isinstance(part, str):
            found |= checksums(part, f"{path}/{name}")
    return found


def _checked_chinese(english: dict[str, Words], root: Path, kept: frozenset[str], texts: Texts) -> dict[str, Words]:
    """The Chinese words in the order of the English; English ones stand in for those that are missing.

    The locale's file keeps its words; entries of inputs that no longer exist are dropped from it.
    """
    locale = json.loads(_read(root / CHINESE) or "{}")
    written, before = leaves(locale), checksums(locale)
    wanted = leaves(english)
    after: dict[str, str] = {}
    for path, text in wanted.items():
        if path not in written:
            texts.todo.append(f"{CHINESE}: {path} is missing; the English is: {text}")
            continue
        sums = f"{_checksum(text)} {_checksum(written[path])}"
        old_english, _, old_chinese = before.get(path, sums).partition(" ")
        changed = _checksum(text) != old_english
        if changed and _checksum(written[path]) == old_chinese and path not in kept:
            texts.todo.append(f"{CHINESE}: {path} is stale; the English is now: {text}")
            after[path] = before[path]
        else:
            after[path] = sums
    known = {path: text for path, text in written.items() if path in wanted}
    texts.files[CHINESE] = _json(_only(english, known, after))
    return _filled(english, known)


def _only(tree: Any, texts: Mapping[str, str], sums: Mapping[str, str], path: str = "") -> Any:  # noqa: ANN401 - JSON
    """A locale shaped as `tree` with the texts that are known, and their checksums; a part of which none is known is
    left out."""
    kept: Words = {}
    checked: list[str] = []
    for name, part in tree.items():
        key = f"{path}/{name}".removeprefix("/")
        if not isinstance(part, str):
            inner = _only(part, texts, sums, key)
            if inner or not part:
                kept[name] = inner
        elif key in texts:
            kept[name] = texts[key]
            checked.append(f"{name} {sums[key]}")
    return kept | ({TRANSLATED: ", ".join(checked)} if checked else {})


def _filled(tree: Any, texts: Mapping[str, str], path: str = "") -> Any:  # noqa: ANN401 - JSON
    """A locale shaped as `tree` with the texts that are known, and the tree's own where they are not."""
    if isinstance(tree, str):
        return texts.get(path, tree)
    return {name: _filled(part, texts, f"{path}/{name}".removeprefix("/")) for name, part in tree.items()}


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _json(content: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
